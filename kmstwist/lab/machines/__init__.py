"""Lab machines: lasting simulated Windows and Office clients, for practising the administrator's commands."""
