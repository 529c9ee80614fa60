"""Counters and histograms, what they say about the server's health, and log lines to where they are written."""
