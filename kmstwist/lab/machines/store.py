"""The lab machines between commands: one SQLite file in the state folder.

A machine is small, so it is read and written whole; only its events are appended. A command reads a machine, may wait
for a host's answer, and writes it: meanwhile it locks the machine, so that another command's change is not undone.
"""

from __future__ import annotations

import fcntl
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from zlib import crc32

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import UnknownProduct, find
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.version import Version
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.machines import tables
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.events import MachineEvent
from kmstwist.lab.machines.machine import KmsSettings, Licence, Machine
from kmstwist.lab.sqlitefile import SqliteFile
from kmstwist.system.sqlitecodes import Trouble, trouble_of

MACHINES_FILE_NAME = "machines.sqlite"
SCHEMA_VERSION = 2

_Row = Row[tuple[object, ...]]


class MachineStore(SqliteFile):
    """The file of a lab's machines, made with its folder if it is missing; raises `LabFileError` if it is unusable."""

    _holds = ("machines", "were")
    _metadata = tables.metadata
    _schema_version = SCHEMA_VERSION

    def _upgrade(self, connection: Connection, version: int) -> None:
        # An existing machine keeps its values; only new columns are added.
        for table, columns in tables.ADDED.items():
            for column in columns:
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")

    @contextmanager
    def held(self, names: Iterable[str], waiting: Callable[[], None]) -> Iterator[None]:
        """Lock the machines with these names against other processes; `waiting` is called if this has to wait.

        A machine's lock is one byte of a file beside the store, at an offset computed from its name. The system
        releases it when the process ends, in any way.
        """
        path = self._path.with_suffix(".lock")
        try:
            file = path.open("a")
        except OSError as error:
            raise LabFileError(
                f"{path} cannot be written ({error.strerror})",
                "check that its folder and file belong to you, or name another with --state-dir",
            ) from None
        with file:
            # In a fixed order, so that two commands on the same machines cannot deadlock.
            for place in sorted({crc32(_key(name).encode()) for name in names}):
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                except BlockingIOError:
                    waiting()
                    fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
            yield

    def add(self, machine: Machine) -> None:
        """Store a new machine; raises `Refused` if its name is taken."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(tables.machines).values(_machine_row(machine)))
                _write_rest(connection, machine)
        except IntegrityError:
            raise Refused(
                f'there is a lab machine "{machine.name}" already: choose another name, or delete it '
                f"(kmstwist lab machine delete {machine.name})"
            ) from None
        except DBAPIError as error:
            raise self._explained(error) from error

    def save(self, machine: Machine) -> None:
        """Replace a stored machine, and append its new events."""
        key = _key(machine.name)
        try:
            with self._engine.begin() as connection:
                for table, column in (
                    (tables.machines, "key"),
                    (tables.licences, "machine"),
                    (tables.settings, "machine"),
                ):
                    connection.execute(delete(table).where(table.c[column] == key))
                connection.execute(insert(tables.machines).values(_machine_row(machine)))
                _write_rest(connection, machine)
        except DBAPIError as error:
            raise self._explained(error) from error

    def get(self, name: str) -> Machine:
        """The machine with this name, in any case; raises `Refused` if there is none."""
        key = _key(name)
        try:
            with self._engine.connect() as connection:
                row = connection.execute(select(tables.machines).where(tables.machines.c.key == key)).one_or_none()
                if row is None:
                    raise Refused(
                        f'there is no lab machine "{name}": kmstwist lab machine list shows those there are, '
                        f"kmstwist lab machine new {name} --product NAME makes one"
                    )
                [(_, parts)] = _with_parts(connection, [row], key)
                return self._machine(row, *parts)
        except DBAPIError as error:
            raise self._explained(error) from error

    def all(self) -> list[Machine]:
        """Every machine, by name."""
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(select(tables.machines).order_by(tables.machines.c.key)).all()
                return [self._machine(row, *parts) for row, parts in _with_parts(connection, rows)]
        except DBAPIError as error:
            raise self._explained(error) from error

    def delete(self, name: str) -> None:
        """Delete a machine with all its data; raises `Refused` if there is none with this name."""
        machine = self.get(name)
        key = _key(machine.name)
        try:
            with self._engine.begin() as connection:
                for table in (tables.licences, tables.settings, tables.events):
                    connection.execute(delete(table).where(table.c.machine == key))
                connection.execute(delete(tables.machines).where(tables.machines.c.key == key))
        except DBAPIError as error:
            raise self._explained(error) from error

    def events(self, name: str, last: int | None = None) -> list[MachineEvent]:
        """A machine's events, the oldest first; only the `last` ones if given."""
        query = (
            select(tables.events)
            .where(tables.events.c.machine == _key(name))
            .order_by(tables.events.c.id.desc())
            .limit(last)
        )
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
        except DBAPIError as error:
            raise self._explained(error) from error
        return [MachineEvent(row.at, row.number, row.info, row.product) for row in reversed(rows)]

    def event_count(self, name: str) -> int:
        """How many events a machine has."""
        query = select(func.count()).select_from(tables.events).where(tables.events.c.machine == _key(name))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def age_events(self, name: str, seconds: float) -> None:
        """Make all events of a machine `seconds` older."""
        key = _key(name)
        try:
            with self._engine.begin() as connection:
                for row in connection.execute(select(tables.events).where(tables.events.c.machine == key)).all():
                    event = MachineEvent(row.at, row.number, row.info, row.product).older(seconds)
                    connection.execute(
                        update(tables.events).where(tables.events.c.id == row.id).values(at=event.at, info=event.info)
                    )
        except DBAPIError as error:
            raise self._explained(error) from error

    def count(self) -> int:
        """How many machines there are."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.machines)).scalar_one())

    def _machine(self, row: _Row, licences: list[_Row], settings: list[_Row]) -> Machine:
        machine = Machine(
            name=row.name,
            cmid=row.cmid,
            previous_cmid=row.previous_cmid,
            created=row.created,
            rearms_left=row.rearms_left,
            domain=row.domain,
            dns_server=_address(row.dns_host, row.dns_port),
            virtual=row.virtual,
            version=Version(row.kms_version, 0),
            caching=row.caching,
            cached=_address(row.cached_host, row.cached_port),
            key_in_registry=row.key_in_registry,
            region=row.region,
        )
        machine.licences += [self._licence(machine, found) for found in licences]
        for found in settings:
            machine.settings[found.scope] = KmsSettings(found.host, found.port, found.lookup_domain, found.act_type)
        return machine

    def _licence(self, machine: Machine, row: _Row) -> Licence:
        try:
            product = find(row.product)
            status = LicenseStatus(row.status)
        except (UnknownProduct, ValueError) as error:
            raise LabFileError(
                f"the lab's machines {self._path} hold something that this kmstwist does not know ({error})",
                f"update kmstwist, or delete the machine (kmstwist lab machine delete {machine.name})",
            ) from None
        client = machine.new_client(product, row.next_attempt)
        client.status = status
        client.expires = row.expires
        client.last_success = row.last_success
        client.host_id = row.host_id
        client.activation_interval = row.activation_interval
        client.renewal_interval = row.renewal_interval
        licence = Licence(client, row.partial_key)
        licence.installs = row.installs
        licence.rearms_left = row.rearms_left
        licence.by_phone = row.by_phone
        licence.trouble = row.trouble
        licence.found = _address(row.found_host, row.found_port)
        licence.host_address = row.host_address
        return licence

    def _explained(self, error: DBAPIError) -> LabFileError:
        cause = str(error.orig)
        trouble = trouble_of(error)
        cure = str(trouble)
        if trouble in (Trouble.DAMAGED, Trouble.NO_STORE, Trouble.OTHER):
            what = str(trouble) or "it is damaged, or it is not one of kmstwist's files"
            cure = f"{what}; move it away, and make the machines anew"
        return LabFileError(f"the lab's machines {self._path} cannot be used ({cause})", cure)


def _with_parts(
    connection: Connection, rows: Iterable[_Row], key: str | None = None
) -> Iterator[tuple[_Row, tuple[list[_Row], list[_Row]]]]:
    """The rows of machines with those of their licences and settings; only of the machine with this `key`, if given."""
    found: list[dict[str, list[_Row]]] = []
    for query in (select(tables.licences).order_by(tables.licences.c.position), select(tables.settings)):
        [table] = query.get_final_froms()
        of_machine: dict[str, list[_Row]] = defaultdict(list)
        for row in connection.execute(query if key is None else query.where(table.c.machine == key)):
            of_machine[row.machine].append(row)
        found.append(of_machine)
    for row in rows:
        yield row, (found[0][row.key], found[1][row.key])


def _key(name: str) -> str:
    return name.casefold()


def _address(host: str | None, port: int | None) -> HostPort | None:
    return None if host is None or port is None else HostPort(host, port)


def _machine_row(machine: Machine) -> dict[str, object]:
    dns, cached = machine.dns_server, machine.cached
    return {
        "key": _key(machine.name),
        "name": machine.name,
        "cmid": machine.cmid,
        "previous_cmid": machine.previous_cmid,
        "created": machine.created,
        "rearms_left": machine.rearms_left,
        "domain": machine.domain,
        "dns_host": dns.host if dns else None,
        "dns_port": dns.port if dns else None,
        "virtual": machine.virtual,
        "kms_version": machine.version.major,
        "caching": machine.caching,
        "cached_host": cached.host if cached else None,
        "cached_port": cached.port if cached else None,
        "key_in_registry": machine.key_in_registry,
        "region": machine.region,
    }


def _write_rest(connection: Connection, machine: Machine) -> None:
    key = _key(machine.name)
    for position, licence in enumerate(machine.licences):
        client = licence.client
        connection.execute(
            insert(tables.licences).values(
                machine=key,
                position=position,
                product=licence.product.name,
                partial_key=licence.partial_key,
                installs=licence.installs,
                rearms_left=licence.rearms_left,
                by_phone=licence.by_phone,
                status=int(client.status),
                expires=client.expires,
                next_attempt=client.next_attempt,
                last_success=client.last_success,
                host_id=client.host_id,
                activation_interval=client.activation_interval,
                renewal_interval=client.renewal_interval,
                trouble=licence.trouble,
                found_host=licence.found.host if licence.found else None,
                found_port=licence.found.port if licence.found else None,
                host_address=licence.host_address,
            )
        )
    for scope, settings in machine.settings.items():
        connection.execute(
            insert(tables.settings).values(
                machine=key,
                scope=scope,
                host=settings.host,
                port=settings.port,
                lookup_domain=settings.lookup_domain,
                act_type=settings.act_type,
            )
        )
    for event in machine.new_events:
        connection.execute(
            insert(tables.events).values(
                machine=key, at=event.at, number=event.number, info=event.info, product=event.product
            )
        )
    machine.new_events.clear()
