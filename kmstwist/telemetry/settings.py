"""The `[server.log]` section of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kmstwist.sections import Section


class LogSettings(Section):
    """How log lines look, and which are written; twistd's own options say where they go."""

    format: Literal["text", "json"] = Field("text", description="text (key=value) or json.")
    level: Literal["debug", "info", "warn", "error"] = Field(
        "info", description="The lowest level that is logged: debug, info, warn or error."
    )
    flood_burst: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        20_000,
        description="Lines of one kind (event, result, reason) that may come at once; further ones are dropped and "
        "counted. By default one for each possible connection. An answered call always has its line.",
    )
    flood_rate: Annotated[float, Field(ge=0.01, le=1_000_000)] = Field(
        20.0, description="Lines of one kind per second after such a burst."
    )
