"""The status site, health and metrics."""
