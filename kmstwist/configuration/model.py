"""The configuration: every option with its type, its bounds, its default and what it does.

A section is a pydantic model. Those of a room live in the room (`kmstwist.gateway.settings`) and are named here in one
line of `Config`; the file, the checks, `kmstwist config show` and the reference follow from the model.
`kmstwist.configuration.reading` makes a `Config` from a file and the command line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from kmstwist.addresses import is_address
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.audit.products.settings import ProductsSettings
from kmstwist.audit.settings import AuditSection
from kmstwist.collecting.settings import EventsSettings
from kmstwist.conversation.settings import TimeoutSettings
from kmstwist.discovery.settings import DnsSettings
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.kms.catalogue import FAMILIES
from kmstwist.notify.settings import NotifySettings
from kmstwist.problem import WrongValue
from kmstwist.sections import RESTART, Section
from kmstwist.telemetry.settings import LogSettings
from kmstwist.web.settings import WebSettings

#: The intervals that a KMS host accepts, in minutes (slmgr /sai and /sri).
Minutes = Annotated[int, Field(ge=15, le=30 * 24 * 60)]
#: By how many minutes the lab host's clock may be wrong: about ten years.
MAX_CLOCK_ERROR = 5_000_000


def _endpoint(text: str) -> str:
    # Imported here: this module is read by commands that open no port.
    from twisted.internet.endpoints import serverFromString

    text = _address_as_endpoint(text)
    no_reactor: Any = None
    if not text.startswith("systemd:"):  # Its sockets exist only in the process that systemd starts.
        try:
            serverFromString(no_reactor, text)
        except (ValueError, TypeError, LookupError, OSError, RuntimeError) as error:
            raise WrongValue(
                f"'{text}' is neither an address with a port nor a Twisted endpoint ({error})",
                "write for example 10.0.0.1:1688, [2001:db8::1]:1688 or tcp:1688:interface=10.0.0.1",
            ) from None
    return text


def _address_as_endpoint(text: str) -> str:
    """ADDRESS:PORT as Twisted writes it; anything else as it is."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isdecimal() or not is_address(bare) or (":" in bare and bare == host):
        return text
    escaped = bare.replace(":", "\\:")
    return f"{'tcp6' if ':' in bare else 'tcp'}:{int(port)}:interface={escaped}"


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class LimitSettings(Section):
    """How much one server accepts at a time."""

    connections: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        20_000,
        description="Connections open at the same time; one more gets the place of a silent one. Shared out among "
        "workers.",
    )
    request_bytes: Annotated[int, Field(ge=1024, le=0x7FFF_FFFF)] = Field(
        4 * 1024 * 1024,
        description="Bytes of one request that arrives in fragments; a larger one is refused. A KMS request needs no "
        "more than 300 and arrives in one fragment.",
    )
    reassembly_bytes: Annotated[int, Field(ge=1024, le=0x7FFF_FFFF)] = Field(
        64 * 1024 * 1024,
        description="Bytes of all incomplete requests together. Shared out among workers.",
    )


class ServerSettings(Section):
    """Where kmstwist listens and keeps its files."""

    port: Annotated[int, Field(ge=0, le=65535), RESTART] = Field(1688, description="TCP port, for IPv4 and IPv6.")
    listen: Annotated[tuple[Endpoint, ...], RESTART] = Field(
        (), description="Addresses with their ports, or Twisted endpoints, to listen on instead of port."
    )
    state_dir: Annotated[str | None, RESTART] = Field(
        None,
        description="Folder for files that must outlive the process. By default /var/lib/kmstwist, or the user's own "
        "state folder.",
    )
    run_dir: Annotated[str | None, RESTART] = Field(
        None, description="Folder for the control socket. By default the state folder."
    )
    workers: Annotated[int, Field(ge=1, le=256), RESTART] = Field(
        1, description="Processes that share the port; for a gateway only."
    )
    windows: Literal["2012r2", "2025"] = Field(
        "2025",
        description="The Windows Server version whose RPC answers to give where versions differ, for tests and "
        "monitoring that expect the answers of a certain version. Windows and Office clients do not notice the "
        "difference.",
    )
    timeouts: TimeoutSettings = TimeoutSettings.untouched()
    limits: LimitSettings = LimitSettings.untouched()
    log: LogSettings = LogSettings.untouched()


class LabSettings(Section):
    """How the lab's host behaves while no upstream is configured. The lab grants no licences."""

    activation_interval: Minutes = Field(
        120, description="Minutes between the attempts of a client that is not activated yet."
    )
    renewal_interval: Minutes = Field(10_080, description="Minutes between the renewals of an activated client.")
    clock_error: Annotated[float, RESTART] = Field(
        0.0,
        ge=-MAX_CLOCK_ERROR,
        le=MAX_CLOCK_ERROR,
        allow_inf_nan=False,
        description="Minutes by which the lab host's clock is ahead (negative: behind); beyond 240 it refuses all "
        "clients.",
    )
    key: Annotated[str | None, RESTART] = Field(
        None,
        description="The lab.key of another lab, if several labs serve the same clients. By default the lab makes a "
        "key of its own when it first starts.",
        examples=["/var/lib/kmstwist/shared/lab.key"],
    )
    products: Annotated[tuple[Literal["Windows", "Windows Server", "Office"], ...], RESTART] = Field(
        FAMILIES,  # type: ignore[arg-type]  # a test holds the two lists of families together
        min_length=1,
        description="Product families that the lab host covers; clients of other families are told that it does not "
        "cover them.",
    )


class Config(Section):
    """The whole configuration, with one line for each section."""

    server: ServerSettings = ServerSettings.untouched()
    lab: LabSettings = LabSettings.untouched()
    gateway: GatewaySettings = GatewaySettings.untouched()
    admission: AdmissionSettings = AdmissionSettings.untouched()
    audit: Annotated[AuditSection, RESTART] = AuditSection.untouched()
    products: Annotated[ProductsSettings, RESTART] = ProductsSettings.untouched()
    events: Annotated[EventsSettings, RESTART] = EventsSettings.untouched()
    dns: DnsSettings = DnsSettings.untouched()
    web: Annotated[WebSettings, RESTART] = WebSettings.untouched()
    notify: Annotated[NotifySettings, RESTART] = NotifySettings.untouched()
