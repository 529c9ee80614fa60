"""Fixtures for the discovery tests."""

from tests.discovery.named import start_named

__all__ = ["start_named"]
