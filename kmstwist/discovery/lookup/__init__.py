"""Asking DNS: messages, servers, SRV records, search order."""
