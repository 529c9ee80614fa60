"""A lab machine activates: it finds a host as Windows does, asks over a real connection, and logs what happened.

The host set by hand, else the remembered one, else those of the SRV record in the order of RFC 2782. A host that cannot
be reached is logged (event 12288 with that attempt's code) and the next is tried; the first that answers decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from kmstwist.addresses import HostPort, is_address
from kmstwist.discovery.lookup.answers import LookupFailed
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.kms import filetime
from kmstwist.kms.messages import MessageError, Request
from kmstwist.kms.status import Status
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import Outcome
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.events import answer_processed, request_sent
from kmstwist.lab.machines.locating import LocateFailed, Locator
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.reasons import Reason
from kmstwist.transport.connection import call_timed_out, connect
from kmstwist.transport.endpoints import addresses_endpoint, endpoint_for
from kmstwist.transport.errors import ConnectError, FaultError, UpstreamError

TIMEOUT = 10.0
"""Seconds that a connection, and then a call, may take."""


class Contact(Protocol):
    """Brings a message to a host."""

    def __call__(self, host: HostPort, message: bytes, machine: Machine | None = None) -> Awaitable[tuple[int, bytes]]:
        """The host's HRESULT and its answer; fails with an `UpstreamError`.

        A name is resolved as the `machine` does it, without one as this computer does.
        """


Over = Callable[[IStreamClientEndpoint], IStreamClientEndpoint]
"""Makes of an endpoint the same one at the far end of a link."""

_UNKNOWN_INTERFACE = 0x800706B5
_ACCESS_DENIED_FAULT = 5
_AD_ONLY, _TOKEN_ONLY = 1, 3
_KMS_AGAIN = "slmgr /act-type 2 (ospp /actype:2 for Office) allows KMS."


@dataclass(frozen=True, slots=True)
class Asking:
    """What an activation needs of the world: keys, a way to find hosts, a way to ask one, the time.

    `ahead` is how many seconds the hosts' time is ahead of `now`, for a machine that lives in the past.
    """

    cipher: LabCipher
    locate: Locator
    contact: Contact
    now: Callable[[], float]
    ahead: Callable[[], float] = lambda: 0.0


def contact_over_tcp(reactor: Any, timeout: float = TIMEOUT, over: Over = lambda endpoint: endpoint) -> Contact:
    """A `Contact` that connects, binds, asks and closes, as a Windows client does; `over` puts a link in between."""
    clock: IReactorTime = reactor

    async def contact(host: HostPort, message: bytes, machine: Machine | None = None) -> tuple[int, bytes]:
        connection = await connect(clock, over(await _endpoint(reactor, host, machine, timeout)), timeout)
        try:
            return await connection.request_activation(message).addTimeout(
                timeout, clock, onTimeoutCancel=call_timed_out
            )
        finally:
            connection.close()

    return contact


async def _endpoint(reactor: Any, host: HostPort, machine: Machine | None, timeout: float) -> IStreamClientEndpoint:
    name = host.host.rstrip(".").lower()
    # Every computer knows itself under this name, without a DNS server (RFC 6761 6.3).
    is_local = name.rpartition(".")[2] == "localhost"
    if machine is None or machine.dns_server is None or is_local or is_address(host.host):
        return endpoint_for(reactor, host.host, host.port, timeout)
    if "." not in name and machine.domain:
        name = f"{name}.{machine.domain}"
    try:
        answer = await Lookup(reactor, [machine.dns_server]).host(name)
    except LookupFailed as failed:
        raise ConnectError(str(failed).rstrip("."), Reason.UPSTREAM_DNS) from None
    return addresses_endpoint(reactor, answer.addresses, host.port, timeout)


async def activate(machine: Machine, licence: Licence, asking: Asking) -> Outcome:
    """Try to activate a licence now. Raises `Published` with the code that Windows would show, if it does not come to
    be licensed; the events of either are in `machine.new_events`.
    """
    _check_may_ask(machine, licence)
    choice = machine.choice_of(licence)
    if choice.known is not None:
        tried = await _try(machine, licence, choice.known, asking)
        if isinstance(tried, Outcome):
            return _finished(machine, licence, choice.known, tried)
        choice.unreachable(choice.known)
        machine.cached = choice.cached
    if choice.discovers:
        for host in await _located(machine, licence, asking):
            tried = await _try(machine, licence, host, asking)
            if isinstance(tried, Outcome):
                return _finished(machine, licence, host, tried)
    raise _failed(
        licence,
        int(Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE),
        asking,
        f"The hosts it tried are in its log: kmstwist lab events {machine.name}.",
    )


def _check_may_ask(machine: Machine, licence: Licence) -> None:
    if licence.partial_key is None:
        raise Published(Status.SL_E_PKEY_NOT_INSTALLED)
    act_type = machine.act_type_of(licence)
    if act_type == _AD_ONLY:
        raise Published(Status.SL_E_VL_AD_AO_NOT_FOUND, f"The lab has no Active Directory: {_KMS_AGAIN}")
    if act_type == _TOKEN_ONLY:
        raise Published(Status.SL_E_NOT_SUPPORTED, f"The lab has no tokens: {_KMS_AGAIN}")


async def _located(machine: Machine, licence: Licence, asking: Asking) -> list[HostPort]:
    try:
        hosts = await asking.locate(machine, licence)
    except LocateFailed as failed:
        raise _failed(licence, failed.code, asking, str(failed)) from None
    port = machine.port_of(licence)
    return hosts if port is None else [HostPort(host.host, port) for host in hosts]


async def _try(machine: Machine, licence: Licence, host: HostPort, asking: Asking) -> Outcome | None:
    """Ask one host; None if it was not reached."""
    client = licence.client
    request = client.request(asking.now(), asking.ahead())
    try:
        sealed = asking.cipher.seal_request(request)
    except ValueError as error:
        raise Refused(f"{machine.name} cannot make a request: {error}") from None
    told = replace(request, client_time=filetime.from_unix(asking.now()))
    try:
        hresult, message = await asking.contact(host, sealed, machine)
    except UpstreamError as error:
        _log_sent(machine, licence, host, told, _code_of(error), asking)
        return None
    _log_sent(machine, licence, host, told, 0, asking)
    now = asking.now()
    outcome = client.process_message(asking.cipher, hresult, message, now)
    machine.new_events.append(_processed(machine, licence, told, outcome, hresult, message, asking))
    return outcome


def _processed(
    machine: Machine, licence: Licence, request: Request, outcome: Outcome, hresult: int, message: bytes, asking: Asking
) -> Any:
    intervals = (0, 0)
    if hresult == 0:
        try:
            response = asking.cipher.open_response(message)
        except MessageError:
            response = None
        if response is not None:
            intervals = (response.activation_interval, response.renewal_interval)
    return answer_processed(
        asking.now(),
        outcome.hresult,
        outcome.activated,
        outcome.count or 0,
        intervals,
        request,
        licence.product.name,
    )


def _finished(machine: Machine, licence: Licence, host: HostPort, outcome: Outcome) -> Outcome:
    if not outcome.activated:
        raise Published(outcome.hresult, _sentence(outcome.detail))
    choice = machine.choice_of(licence)
    choice.worked(host)
    machine.cached = choice.cached
    licence.by_phone = False
    return outcome


def _failed(licence: Licence, code: int, asking: Asking, more: str = "") -> Published:
    licence.client.process(code, None, asking.now())
    return Published(code, more)


def _log_sent(machine: Machine, licence: Licence, host: HostPort, request: Request, code: int, asking: Asking) -> None:
    machine.new_events.append(request_sent(asking.now(), code, host, request, licence.product.name))


def _code_of(error: UpstreamError) -> int:
    if isinstance(error, FaultError):
        denied = error.status == _ACCESS_DENIED_FAULT
        return int(Status.E_ACCESSDENIED if denied else Status.E_RPC_SERVER_UNAVAILABLE)
    if error.reason is Reason.UPSTREAM_BIND_REJECTED:
        return _UNKNOWN_INTERFACE
    return int(Status.E_RPC_SERVER_UNAVAILABLE)


def _sentence(detail: str) -> str:
    return f"{detail[0].upper()}{detail[1:].rstrip('.')}." if detail else ""
