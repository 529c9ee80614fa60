"""The metrics for Prometheus: the process's own numbers, and those about activation."""
