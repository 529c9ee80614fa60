"""The lab: keys, cipher, host, simulated clients and fleets."""
