"""The answer to a command that would have applied a bad configuration."""

from __future__ import annotations

from kmstwist.configuration.mistakes import ConfigError
from kmstwist.process.control_client import CommandError


def refused(error: ConfigError) -> CommandError:
    """The error for a command that would have applied a bad configuration."""
    return CommandError(f"the configuration was refused, the old one stays:\n{error}")
