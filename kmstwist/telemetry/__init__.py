"""Counters and histograms, what they say of the server's health, and log lines to their sinks."""
