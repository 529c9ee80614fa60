"""Lab machines: simulated Windows and Office clients that last, for practising the administrator's commands on."""
