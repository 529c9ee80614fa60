"""One lab machine: its identity, its licences, its KMS settings and its event log.

`LabClient` has the behaviour of a licence; this module has everything else of a machine. Moments are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from kmstwist.addresses import DEFAULT_PORT, HostPort
from kmstwist.kms.catalogue import WINDOWS, Product
from kmstwist.kms.labids import activation_id
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.version import Version
from kmstwist.lab.client import LabClient
from kmstwist.lab.host_choice import HostChoice
from kmstwist.lab.machines import regions
from kmstwist.lab.machines.events import MachineEvent
from kmstwist.lab.windows_names import NEWEST, Naming, naming_of

FIRST_REARMS = 1001
"""How often a newly installed Windows of today can be rearmed; for others see `Naming.rearms`."""
NO_UUID = UUID(int=0)
MACHINE = "machine"
"""The scope of the settings that apply to all of a machine's products."""


@dataclass(slots=True)
class KmsSettings:
    """The KMS settings of one scope: a whole machine, an application, or a product. None: not set here.

    `act_type` is 0 any, 1 Active Directory only, 2 KMS only, 3 token only.
    """

    host: str | None = None
    port: int | None = None
    lookup_domain: str | None = None
    act_type: int | None = None


class Licence:
    """A product on a machine. Without a key (`partial_key` None) it is unlicensed.

    `partial_key` is the last five characters of the key; `installs` counts the keys installed, so that each gets
    an installation id of its own; `by_phone` whether it was activated for good with a confirmation id; `trouble` the
    name of the trouble that is being practised, if any. `found` is the host, found by DNS, that activated it last, and
    `host_address` the address of whichever host did.
    """

    __slots__ = ("by_phone", "client", "found", "host_address", "installs", "partial_key", "rearms_left", "trouble")

    def __init__(self, client: LabClient, partial_key: str | None = None) -> None:
        self.client = client
        self.partial_key = partial_key
        self.installs = 0
        self.rearms_left = naming_of(client.product).rearms
        self.by_phone = False
        self.trouble = ""
        self.found: HostPort | None = None
        self.host_address: str | None = None

    @property
    def naming(self) -> Naming:
        """Windows' name for the product."""
        return naming_of(self.product)

    @property
    def product(self) -> Product:
        """The catalogue's product."""
        return self.client.product

    @property
    def act_id(self) -> UUID:
        """The lab's activation id of the product."""
        return activation_id(self.product.name)

    @property
    def is_windows(self) -> bool:
        """Whether the product is Windows itself, client or server."""
        return self.product.app_id == WINDOWS


@dataclass(slots=True)
class Machine:
    """A machine. `domain` is its primary DNS suffix, `dns_server` the server it asks (None: as this computer does),
    `region` decides the format of its dates.
    """

    name: str
    cmid: UUID
    created: float
    previous_cmid: UUID = NO_UUID
    rearms_left: int = FIRST_REARMS
    domain: str | None = None
    dns_server: HostPort | None = None
    virtual: bool = True
    version: Version = field(default=Version(6, 0))
    caching: bool = True
    cached: HostPort | None = None
    key_in_registry: bool = True
    region: str = regions.DEFAULT
    licences: list[Licence] = field(default_factory=list)
    settings: dict[str, KmsSettings] = field(default_factory=dict)
    new_events: list[MachineEvent] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """The name with the DNS suffix, as in requests."""
        return f"{self.name}.{self.domain}" if self.domain else self.name

    @property
    def windows(self) -> Naming:
        """The Windows that runs on the machine: the one that has the key, else the first, else the newest there is."""
        of_windows = [licence for licence in self.licences if licence.is_windows]
        keyed = [licence for licence in of_windows if licence.partial_key is not None]
        return next((licence.naming for licence in (*keyed, *of_windows)), NEWEST)

    def add_product(self, product: Product, now: float) -> Licence:
        """Put a product on the machine, without a key."""
        licence = Licence(self.new_client(product, now))
        if licence.is_windows and not any(other.is_windows for other in self.licences):
            self.rearms_left = licence.naming.rearms
        unlicense(licence)
        self.licences.append(licence)
        return licence

    def install_key(self, licence: Licence, now: float) -> None:
        """Install the product's client key: initial grace begins, whatever was before.

        A machine runs one Windows: its new key takes the place of that of another edition.
        """
        if licence.is_windows:
            for other in self.licences:
                if other.is_windows and other is not licence:
                    unlicense(other)
        licence.client = self.new_client(licence.product, now)
        licence.partial_key = licence.product.gvlk[-5:]
        licence.installs += 1
        licence.by_phone = False
        licence.trouble = ""
        licence.found = licence.host_address = None
        if licence.is_windows:
            self.key_in_registry = True

    def new_client(self, product: Product, now: float) -> LabClient:
        """A licence for a product of this machine whose grace begins now."""
        return LabClient(
            self.full_name,
            self.cmid,
            product,
            installed=now,
            version=self.version,
            virtual_machine=self.virtual,
            previous_cmid=self.previous_cmid,
        )

    def rearm(self, licences: list[Licence], cmid: UUID, now: float) -> None:
        """Begin the grace of these licences anew, under a new client machine id for the whole machine."""
        self.previous_cmid, self.cmid = self.cmid, cmid
        for licence in self.licences:
            licence.client.cmid = cmid
            licence.client.previous_cmid = self.previous_cmid
        for licence in licences:
            if licence.partial_key is not None:
                licence.client = self.new_client(licence.product, now)
                licence.by_phone = False
                licence.trouble = ""
                licence.found = licence.host_address = None

    def generalise(self, cmid: UUID, now: float) -> None:
        """The effect of sysprep /generalize: a new client machine id, new grace periods, no remembered host.

        The caller counts the rearm and refuses when none is left.
        """
        self.rearm(self.licences, cmid, now)
        self.cached = None

    def age(self, seconds: float) -> None:
        """Make all licences `seconds` older, as if the time had passed."""
        for licence in self.licences:
            client = licence.client
            client.next_attempt -= seconds
            if client.expires is not None:
                client.expires -= seconds
            if client.last_success is not None:
                client.last_success -= seconds

    def setting(self, licence: Licence, read: Callable[[KmsSettings], object]) -> KmsSettings:
        """A licence's effective value: from the product's settings, its application's or the machine's, in this order.

        `read` returns the value from settings; None means that they do not set it.
        """
        for scope in (str(licence.act_id), str(licence.product.app_id), MACHINE):
            settings = self.settings.get(scope)
            if settings is not None and read(settings) is not None:
                return settings
        return KmsSettings()

    def scope(self, scope: str) -> KmsSettings:
        """The settings of a scope, to change them."""
        return self.settings.setdefault(scope, KmsSettings())

    def app_rearms_left(self, app_id: UUID) -> int:
        """How often the products of an application can still be rearmed together."""
        return min((licence.rearms_left for licence in self.licences if licence.product.app_id == app_id), default=0)

    def host_of(self, licence: Licence) -> HostPort | None:
        """The KMS host set by hand for a licence, or None if it is discovered."""
        host = self.setting(licence, lambda settings: settings.host).host
        return None if host is None else HostPort(host, self.port_of(licence) or DEFAULT_PORT)

    def port_of(self, licence: Licence) -> int | None:
        """The port set by hand for a licence, if any."""
        return self.setting(licence, lambda settings: settings.port).port

    def lookup_domain_of(self, licence: Licence) -> str | None:
        """The only domain to discover in, if one is set."""
        return self.setting(licence, lambda settings: settings.lookup_domain).lookup_domain

    def act_type_of(self, licence: Licence) -> int:
        """How the licence may be activated: 0 any, 1 Active Directory, 2 KMS, 3 token."""
        return self.setting(licence, lambda settings: settings.act_type).act_type or 0

    def choice_of(self, licence: Licence) -> HostChoice[HostPort]:
        """Which host a licence asks first, by the rules that all lab clients share."""
        return HostChoice(self.host_of(licence), self.cached, self.caching)


def unlicense(licence: Licence) -> None:
    """Remove a licence's key: it is unlicensed, and no time runs."""
    client = licence.client
    client.status = LicenseStatus.UNLICENSED
    client.expires = None
    client.host_id = None
    licence.partial_key = None
    licence.by_phone = False
    licence.trouble = ""
    licence.found = licence.host_address = None
