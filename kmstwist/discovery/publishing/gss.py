"""Kerberos keys for our updates (GSS-TSIG, RFC 3645), as an Active Directory zone with secure updates requires them.

The key is negotiated with the DNS server in TKEY messages (RFC 2930) that carry Kerberos tokens, and signs one update.
The package `gssapi` is an optional extra: it is loaded only if a configuration needs it. It may talk to the KDC in any
step, which may take long, so the steps run in a thread.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TKEY
import dns.rrset
import dns.tsig
from twisted.internet.threads import deferToThread

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.exchange import exchange_over_tcp
from kmstwist.discovery.publishing.tsig import KeyFileInvalid
from kmstwist.discovery.publishing.update import UpdateFailed
from kmstwist.reactor import Reactor
from kmstwist.reasons import Reason
from kmstwist.system.extras import install_command

_T = TypeVar("_T")

#: For how many seconds the server is asked to keep a key; it is used at once, for one update.
LIFETIME = 300
#: The most rounds: Kerberos needs one token each way, and a server that asks for more is refused.
_MOST_TOKENS = 5


@dataclass(frozen=True, slots=True)
class GssKey:
    """A key negotiated with one server; `key` is dnspython's object for signing."""

    name: str
    key: dns.tsig.Key
    algorithm: str = "gss-tsig"


class Kerberos:
    """Negotiates keys as `principal`, with its keytab; without a keytab, with the user's tickets (kinit)."""

    def __init__(self, keytab: Path | None = None, principal: str | None = None) -> None:
        """Raises `KeyFileInvalid` where the keytab cannot be read, or the package gssapi is not installed."""
        try:
            import gssapi
        except ImportError:
            raise KeyFileInvalid(
                "updates signed by Kerberos need the Python package gssapi, which is built with Kerberos' header files "
                "(apt-get install libkrb5-dev gcc)",
                install_command("gssapi"),
            ) from None
        if keytab is not None and not os.access(keytab, os.R_OK):
            raise KeyFileInvalid(
                f"the keytab {keytab} cannot be read", "check that it is there, and that this user may read it"
            )
        self._gssapi: Any = gssapi
        self._keytab = keytab
        self._principal = principal

    async def agree(
        self, reactor: Reactor, server: HostPort, server_name: str, now: float, timeouts: Sequence[float]
    ) -> GssKey:
        """A key for updates at `server`, an address, whose principal is DNS/`server_name`.

        `now` is in seconds since 1970 UTC. Raises `UpdateFailed`, and `NoAnswer` as `exchange` does.
        """
        name = dns.name.from_text(f"{secrets.token_hex(8)}.{server_name}.")
        context = await self._step(partial(self._context, server_name))
        key = dns.tsig.Key(name, context, dns.tsig.GSS_TSIG)
        token = await self._step(context.step)
        for _ in range(_MOST_TOKENS):
            question = _question(name, token, int(now))
            answer = await exchange_over_tcp(reactor, server, question.to_wire(), sum(timeouts))
            theirs = _token(answer, server)
            token = await self._step(partial(context.step, theirs))
            if context.complete:
                _verify(answer, key, server)
                return GssKey(name.to_text(omit_final_dot=True), key)
        raise UpdateFailed(Reason.DNS_KERBEROS, f"The DNS server {server} does not finish agreeing on a key.")

    def _context(self, server_name: str) -> Any:
        gssapi = self._gssapi
        store = {"client_keytab": str(self._keytab), "ccache": "MEMORY:kmstwist"} if self._keytab else None
        name = gssapi.Name(self._principal, gssapi.NameType.kerberos_principal) if self._principal else None
        target = gssapi.Name(f"DNS@{server_name}", gssapi.NameType.hostbased_service)
        flag = gssapi.RequirementFlag
        return gssapi.SecurityContext(
            name=target,
            creds=gssapi.Credentials(name=name, usage="initiate", store=store),
            usage="initiate",
            mech=gssapi.MechType.kerberos,
            # The flags of RFC 3645 3.1.1 without delegation: the server needs to do nothing in our name.
            flags=flag.mutual_authentication | flag.integrity | flag.replay_detection | flag.out_of_sequence_detection,
        )

    async def _step(self, work: Callable[[], _T]) -> _T:
        try:
            return cast(_T, await deferToThread(work))
        except self._gssapi.exceptions.GSSError as error:
            look = "" if self._keytab else " (klist shows the tickets there are, kinit gets one)"
            raise UpdateFailed(Reason.DNS_KERBEROS, f"Kerberos gives no key: {_plain(error)}{look}.") from None


def _question(name: dns.name.Name, token: bytes | None, now: int) -> dns.message.Message:
    tkey = dns.rdtypes.ANY.TKEY.TKEY(
        dns.rdataclass.ANY,
        dns.rdatatype.TKEY,
        dns.name.from_text("gss-tsig."),
        now,
        now + LIFETIME,
        dns.rdtypes.ANY.TKEY.TKEY.GSSAPI_NEGOTIATION,
        dns.rcode.NOERROR,
        token or b"",
        b"",
    )
    question = dns.message.make_query(name, dns.rdatatype.TKEY, dns.rdataclass.ANY)
    question.flags = dns.flags.Flag(0)
    question.additional.append(dns.rrset.from_rdata(name, 0, tkey))
    return question


def _token(answer: bytes, server: HostPort) -> bytes:
    """The server's token. Raises `UpdateFailed` if it does not send one."""
    try:
        # The answer is signed with the key that its own token completes, so it cannot be verified before.
        message = dns.message.from_wire(answer, keyring=False)
    except dns.exception.DNSException as error:
        raise UpdateFailed(Reason.DNS_BAD_ANSWER, f"The DNS server {server} gave no DNS answer: {error}.") from None
    for rrset in message.answer:
        for rdata in rrset:
            if isinstance(rdata, dns.rdtypes.ANY.TKEY.TKEY) and rdata.error == 0:
                return bytes(rdata.key)
    rcode = dns.rcode.to_text(message.rcode())
    raise UpdateFailed(
        Reason.DNS_KERBEROS,
        f"The DNS server {server} does not agree on a key by Kerberos ({rcode}): it has no keytab, or not the key of "
        f"its own "
        "principal DNS/NAME.",
    )


def _verify(answer: bytes, key: dns.tsig.Key, server: HostPort) -> None:
    """Check that the last answer is signed with the new key (RFC 3645 3.1.3.1). Raises `UpdateFailed`."""
    try:
        verified = dns.message.from_wire(answer, keyring=key)
    except dns.exception.DNSException as error:
        raise UpdateFailed(
            Reason.DNS_BAD_ANSWER, f"The DNS server {server} signed its agreement wrongly: {str(error).rstrip('.')}."
        ) from None
    if not verified.had_tsig:
        raise UpdateFailed(Reason.DNS_BAD_ANSWER, f"The DNS server {server} did not sign its agreement.")


class _GssError(Protocol):
    """An error of `gssapi`, which has no types of its own."""

    min_code: int

    def get_all_statuses(self, code: int, is_maj: bool, /) -> list[str]:
        """The messages for a code: of GSSAPI itself, or of the mechanism."""


def _plain(error: _GssError) -> str:
    """Kerberos' own message, without GSSAPI's in front of it."""
    said = error.get_all_statuses(error.min_code, False) if error.min_code else []
    return "; ".join(dict.fromkeys(said)).rstrip(".") or str(error).rstrip(".")
