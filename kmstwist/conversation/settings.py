"""The `[server.timeouts]` section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kmstwist.sections import Seconds, Section


class TimeoutSettings(Section):
    """How long a client may take for each phase, in seconds. Nothing it sends buys it more."""

    first_byte: Seconds = Field(10.0, description="From the connection to the first byte.")
    request: Seconds = Field(30.0, description="From a first byte to the whole request, the bind included.")
    idle: Seconds = Field(30.0, description="From an answer to the next byte.")
    total: Seconds = Field(300.0, description="For the whole connection; a call under way is finished first.")
    lame_duck: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="Before kmstwist stops: /readyz says 503 for so long, and clients are still answered, so that a "
        "load balancer notices.",
        examples=[10.0],
    )
    drain: Annotated[float, Field(ge=0, le=3600)] = Field(
        10.0, description="For calls under way when kmstwist stops; what is not finished then is cut."
    )
