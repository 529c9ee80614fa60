"""What Prometheus is told: the process's own numbers, and those about activation."""
