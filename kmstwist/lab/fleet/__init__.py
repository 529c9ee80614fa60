"""Fleets of simulated machines: scenarios, virtual time, reports."""
