"""The `[server.timeouts]` section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kmstwist.sections import Seconds, Section


class TimeoutSettings(Section):
    """How long a client may take for each phase, in seconds. Nothing that it sends gains it more time."""

    first_byte: Seconds = Field(10.0, description="From the connection to the first byte.")
    request: Seconds = Field(30.0, description="From the first byte to the whole request, including the bind.")
    idle: Seconds = Field(30.0, description="From an answer to the next byte.")
    total: Seconds = Field(300.0, description="For the whole connection; a call under way is completed first.")
    lame_duck: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="Before kmstwist stops: for this long, /readyz returns 503 while clients are still answered, so "
        "that a load balancer notices.",
        examples=[10.0],
    )
    drain: Annotated[float, Field(ge=0, le=3600)] = Field(
        10.0, description="For calls under way when kmstwist stops; those not finished by then are cut off."
    )
