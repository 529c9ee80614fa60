"""The `[web]` section of the configuration: health, metrics and the status page."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from kmstwist.addresses import AddressError, HostPort, parse_host_port
from kmstwist.audit.central.url import wrong_in_url
from kmstwist.problem import WrongValue
from kmstwist.sections import Section

#: The port if `listen` names none.
DEFAULT_PORT = 9688


def web_address(text: str) -> HostPort:
    """The address and port of a `listen`. Raises `ValueError` with a sentence."""
    try:
        place = parse_host_port(text, DEFAULT_PORT)
        ip_address(place.host)
    except (AddressError, ValueError):
        raise ValueError(f"{text!r} must be an IP address of this machine and a port, such as 127.0.0.1:9688") from None
    return place


def _checked(text: str) -> str:
    web_address(text)
    return text


class WebSettings(Section):
    """A separate listener for health (/livez, /readyz), metrics (/metrics), status (/) and /reports/."""

    listen: Annotated[str, AfterValidator(_checked)] | None = Field(
        None,
        examples=["127.0.0.1:9688"],
        description="IP address and port, for example '127.0.0.1:9688'; off if left out. Addresses other than loopback"
        " require users.",
    )
    users: str | None = Field(
        None,
        examples=["/etc/kmstwist/web-users"],
        description="File of the users who may log in, made with kmstwist web password; without it, anybody who can "
        "connect may read everything.",
    )

    notice: str = Field(
        "",
        max_length=200,
        examples=["Test system"],
        description="A sentence at the top of every page, to tell one server's site from another's.",
    )

    store: str | None = Field(
        None,
        examples=["postgresql://kmstwist_reader@db.example.com/kmstwist"],
        description="The central store that the reports show, as postgresql://USER@HOST/DATABASE, with a role that may"
        " only read. By default the reports show the gateway's own store.",
    )

    @field_validator("store")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None and (wrong := wrong_in_url(value)):
            raise WrongValue(wrong, "write it as postgresql://USER@HOST/DATABASE, the password belongs in ~/.pgpass")
        return value

    @model_validator(mode="after")
    def _guarded(self) -> WebSettings:
        if self.listen is not None and self.users is None and not ip_address(web_address(self.listen).host).is_loopback:
            raise WrongValue(
                f"listen = {self.listen!r} can be reached from other machines",
                "name a file of users (kmstwist web password makes one), or listen on 127.0.0.1",
            )
        return self
