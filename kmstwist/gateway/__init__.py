"""Upstream hosts (connection, health, choice, failover) and admission."""
