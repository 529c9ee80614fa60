"""Upstream hosts: connection, health, choice, failover."""
