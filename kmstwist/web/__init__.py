"""Health, metrics and the status page, on a listener of their own."""
