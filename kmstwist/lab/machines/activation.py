"""A lab machine activates: it finds a host as Windows does, asks over a real connection, and logs what happened.

It asks the host set by hand, else the remembered one, else those of the SRV record in the order of RFC 2782. A host
that cannot be reached, or that refuses, is logged (event 12288 with that attempt's code) and the next is tried; the
first answer decides. If there is none, the machine shows 0xC004F074, and its log has the reasons.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from kmstwist.addresses import AddressError, HostPort, is_address, parse_host_port
from kmstwist.discovery.lookup.answers import LookupFailed
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.kms import filetime
from kmstwist.kms.messages import LicenseStatus, MessageError, Request
from kmstwist.kms.status import Status, explain
from kmstwist.lab.client import Outcome
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.events import MachineEvent, acquisition_failed, answer_processed, request_sent
from kmstwist.lab.machines.locating import LocateFailed, Locator
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.lab.machines.troubles import (
    BAD_DNS_NAME,
    BLOCKED_KEY,
    HOST_NOT_ACTIVATED,
    NON_GENUINE_GRACE,
    NOT_BOUND,
    NOT_GENUINE,
    Trouble,
    trouble_of,
)
from kmstwist.reactor import Reactor
from kmstwist.reasons import Reason

if TYPE_CHECKING:
    from kmstwist.lab.cipher import LabCipher
from kmstwist.shown import as_sentence
from kmstwist.transport.connection import call_timed_out, connect
from kmstwist.transport.endpoints import addresses_endpoint, endpoint_for
from kmstwist.transport.errors import ConnectError, FaultError, UpstreamError


class Answer(NamedTuple):
    """A host's HRESULT and answer, and the address at which it was reached, if known."""

    hresult: int
    message: bytes
    address: str | None = None


class Contact(Protocol):
    """Sends a message to a host."""

    def __call__(self, host: HostPort, message: bytes, machine: Machine | None = None) -> Awaitable[Answer]:
        """The host's answer; fails with an `UpstreamError`.

        A name is resolved as the `machine` does it, without one as this computer does.
        """


Over = Callable[[IStreamClientEndpoint], IStreamClientEndpoint]
"""Puts a link in front of an endpoint."""

_UNKNOWN_INTERFACE = 0x800706B5
_ACCESS_DENIED_FAULT = 5
_AD_ONLY, _TOKEN_ONLY = 1, 3
_KMS_AGAIN = "slmgr /act-type 2 (ospp /actype:2 for Office) allows KMS."
_GENUINE_NEEDED = (NOT_GENUINE, NON_GENUINE_GRACE)


@dataclass(frozen=True, slots=True)
class Asking:
    """What an activation needs: keys, a way to find hosts, a way to ask one, the time.

    `ahead` is how many seconds the hosts' time is ahead of `now`, for a machine that lives in the past.
    """

    cipher: LabCipher
    locate: Locator
    contact: Contact
    now: Callable[[], float]
    ahead: Callable[[], float] = lambda: 0.0


def contact_over_tcp(reactor: Reactor, timeout: float, over: Over = lambda endpoint: endpoint) -> Contact:
    """A `Contact` that connects, binds, asks and closes, as a Windows client does; `over` puts a link in between."""
    clock: IReactorTime = reactor

    async def contact(host: HostPort, message: bytes, machine: Machine | None = None) -> Answer:
        connection = await connect(clock, over(await _endpoint(reactor, host, machine, timeout)), timeout)
        peer = connection.transport.getPeer() if connection.transport is not None else None
        try:
            hresult, answer = await connection.request_activation(message).addTimeout(
                timeout, clock, onTimeoutCancel=call_timed_out
            )
            address = peer.host if isinstance(peer, (IPv4Address, IPv6Address)) else None
            return Answer(hresult, answer, address)
        finally:
            connection.close()

    return contact


async def _endpoint(reactor: Reactor, host: HostPort, machine: Machine | None, timeout: float) -> IStreamClientEndpoint:
    if not is_address(host.host):
        try:
            parse_host_port(host.host)
        except AddressError as error:
            # Windows takes any text for a host's name, and fails when it asks.
            raise ConnectError(str(error), Reason.UPSTREAM_DNS) from None
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
        raise ConnectError(failed.said, Reason.UPSTREAM_DNS) from None
    return addresses_endpoint(reactor, answer.addresses, host.port, timeout)


@dataclass(slots=True)
class _Attempt:
    """One attempt to activate: its machine and licence, and the hosts' refusals so far."""

    machine: Machine
    licence: Licence
    asking: Asking
    before: tuple[LicenseStatus, float | None]
    address: str | None = None
    refusals: list[str] = field(default_factory=list)
    refused_by: list[HostPort] = field(default_factory=list)


async def activate(machine: Machine, licence: Licence, asking: Asking) -> Outcome:
    """Try to activate a licence now. Raises `Published` with the code that Windows would show, if no host comes to
    license it; the events of either are in `machine.new_events`. A copy that is not genuine stays so all the same.
    """
    _check_may_ask(machine, licence, asking)
    attempt = _Attempt(machine, licence, asking, (licence.client.advance(asking.now()), licence.client.expires))
    choice = machine.choice_of(licence)
    if choice.known is not None:
        tried = await _try(attempt, choice.known)
        if tried is not None:
            return _finished(attempt, choice.known, tried)
        choice.unreachable(choice.known)
        machine.cached = choice.cached
    if choice.discovers:
        for host in await _located(machine, licence, asking):
            tried = None if host in attempt.refused_by else await _try(attempt, host)
            if tried is not None:
                return _finished(attempt, host, tried)
    raise _failed(
        licence,
        int(Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE),
        asking,
        " ".join([*attempt.refusals, f"The hosts it tried are in its log: kmstwist lab events {machine.name}."]),
    )


def _check_may_ask(machine: Machine, licence: Licence, asking: Asking) -> None:
    if licence.partial_key is None:
        raise Published(Status.SL_E_PKEY_NOT_INSTALLED)
    act_type = machine.act_type_of(licence)
    if act_type == _AD_ONLY:
        raise Published(Status.SL_E_VL_AD_AO_NOT_FOUND, f"The lab has no Active Directory: {_KMS_AGAIN}")
    if act_type == _TOKEN_ONLY:
        raise Published(Status.SL_E_NOT_SUPPORTED, f"The lab has no tokens: {_KMS_AGAIN}")
    trouble = trouble_of(licence)
    if trouble in (NOT_BOUND, BLOCKED_KEY) or (trouble is BAD_DNS_NAME and machine.host_of(licence) is None):
        assert trouble is not None
        if trouble is BLOCKED_KEY:
            machine.new_events.append(acquisition_failed(asking.now(), trouble.code, licence.product.name))
        raise _failed(licence, trouble.code, asking, _practised(trouble), has_own_cure=True)


def _practised(trouble: Trouble) -> str:
    return f"The trouble {trouble.name} is being practised. Its cure: {trouble.cure}."


async def _located(machine: Machine, licence: Licence, asking: Asking) -> list[HostPort]:
    try:
        hosts = await asking.locate(machine, licence)
    except LocateFailed as failed:
        raise _failed(licence, failed.code, asking, str(failed)) from None
    port = machine.port_of(licence)
    return hosts if port is None else [HostPort(host.host, port) for host in hosts]


async def _try(attempt: _Attempt, host: HostPort) -> Outcome | None:
    """Ask one host; None if it was not reached, or refused."""
    machine, licence, asking = attempt.machine, attempt.licence, attempt.asking
    client = licence.client
    request = client.request(asking.now(), asking.ahead())
    try:
        sealed = asking.cipher.seal_request(request)
    except ValueError as error:
        raise Refused(f"{machine.name} cannot make a request: {error}") from None
    told = replace(request, client_time=filetime.from_unix(asking.now()))
    try:
        answer = await asking.contact(host, sealed, machine)
    except UpstreamError as error:
        _log_sent(machine, licence, host, told, _code_of(error), asking)
        return None
    hresult = answer.hresult
    if trouble_of(licence) is HOST_NOT_ACTIVATED:
        _log_sent(machine, licence, host, told, HOST_NOT_ACTIVATED.code, asking)
        raise _failed(licence, HOST_NOT_ACTIVATED.code, asking, _practised(HOST_NOT_ACTIVATED), has_own_cure=True)
    _log_sent(machine, licence, host, told, hresult, asking)
    if hresult:
        attempt.refused_by.append(host)
        attempt.refusals.append(_refusal(host, hresult))
        return None
    now = asking.now()
    outcome = client.process_message(asking.cipher, hresult, answer.message, now)
    machine.new_events.append(_processed(licence, told, outcome, answer.message, asking))
    attempt.address = answer.address
    return outcome


def _refusal(host: HostPort, hresult: int) -> str:
    known = explain(hresult)
    told = f" {known.text}" if known else ""
    return f"{host} refused: 0x{hresult & 0xFFFFFFFF:08X}.{told}"


def _processed(licence: Licence, request: Request, outcome: Outcome, message: bytes, asking: Asking) -> MachineEvent:
    intervals = (0, 0)
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


def _finished(attempt: _Attempt, host: HostPort, outcome: Outcome) -> Outcome:
    machine, licence = attempt.machine, attempt.licence
    if not outcome.activated:
        raise Published(outcome.hresult, as_sentence(outcome.detail))
    choice = machine.choice_of(licence)
    choice.worked(host)
    machine.cached = choice.cached
    licence.by_phone = False
    licence.host_address = attempt.address
    if choice.discovers:
        licence.found = host
    if trouble_of(licence) in _GENUINE_NEEDED:
        # The host granted it, but the licence state does not change.
        licence.client.status, licence.client.expires = attempt.before
        return replace(outcome, status=licence.client.status)
    licence.trouble = ""
    return outcome


def _failed(licence: Licence, code: int, asking: Asking, more: str = "", *, has_own_cure: bool = False) -> Published:
    licence.client.process(code, None, asking.now())
    return Published(code, more, has_own_cure=has_own_cure)


def _log_sent(machine: Machine, licence: Licence, host: HostPort, request: Request, code: int, asking: Asking) -> None:
    machine.new_events.append(request_sent(asking.now(), code, host, request, licence.product.name))


def _code_of(error: UpstreamError) -> int:
    if isinstance(error, FaultError):
        denied = error.status == _ACCESS_DENIED_FAULT
        return int(Status.E_ACCESSDENIED if denied else Status.E_RPC_SERVER_UNAVAILABLE)
    if error.reason is Reason.UPSTREAM_BIND_REJECTED:
        return _UNKNOWN_INTERFACE
    return int(Status.E_RPC_SERVER_UNAVAILABLE)
