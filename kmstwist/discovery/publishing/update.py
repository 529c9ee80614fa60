"""The messages of a dynamic update (RFC 2136), and the meaning of the server's answer.

This is pure: a publication and a key in, bytes out; bytes in, nothing or an `UpdateFailed` out. One update adds exactly
our SRV record to the record set, or removes exactly that record. It never replaces or deletes the set: the records of
other KMS hosts are left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import dns.exception
import dns.message
import dns.rcode
import dns.tsig
import dns.update

from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.publishing.publication import Publication
from kmstwist.reasons import Reason

FUDGE = 300
"""How many seconds the clocks may differ (RFC 8945 section 10)."""


class SigningKey(Protocol):
    """A key that signs an update: from a file, or negotiated with the server."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def algorithm(self) -> str:
        """Its algorithm."""

    @property
    def key(self) -> dns.tsig.Key:
        """The key as dnspython needs it."""


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """An update ready to send, with what its answer is checked against. Without a key it is unsigned."""

    wire: bytes
    id: int
    mac: bytes
    key: SigningKey | None


class UpdateFailed(Exception):
    """An update failed; the text is a sentence, `reason` the code for the log."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def addition(
    zone: str, publication: Publication, owner: str = "", instead_of: Iterable[SrvRecord] = ()
) -> dns.update.UpdateMessage:
    """The update that adds our record to the record set (RFC 2136 2.5.1). Adding it twice changes nothing.

    `owner` is the record set's name in the zone's upper and lower case, which another spelling would change.
    `instead_of` are records that the same update removes, so that clients always see one or the other.
    """
    message = dns.update.UpdateMessage(zone + ".")
    for record in instead_of:
        message.delete((owner or publication.name) + ".", "SRV", str(record))
    message.add((owner or publication.name) + ".", publication.ttl, "SRV", str(publication.record))
    return message


def removal(zone: str, publication: Publication, owner: str = "") -> dns.update.UpdateMessage:
    """The update that removes our record, and no other, from the record set (RFC 2136 2.5.4). See `addition`."""
    message = dns.update.UpdateMessage(zone + ".")
    message.delete((owner or publication.name) + ".", "SRV", str(publication.record))
    return message


def never(zone: str, publication: Publication, owner: str = "") -> dns.update.UpdateMessage:
    """An addition like ours that can never be carried out, to find out whether the server would allow it.

    Its prerequisites contradict each other (the zone's own name exists and does not exist): the server says so, unless
    it refuses additions altogether.
    """
    message = addition(zone, dataclasses.replace(publication, target="host.invalid"), owner)
    message.present(zone + ".")
    message.absent(zone + ".")
    return message


def sign(message: dns.update.UpdateMessage, key: SigningKey | None, now: float) -> SignedMessage:
    """The message's bytes, signed (RFC 8945) as of `now`, in seconds since 1970 UTC."""
    if key is None:
        return SignedMessage(message.to_wire(), message.id, b"", None)
    unsigned = message.to_wire()
    message.use_tsig(key.key, fudge=FUDGE)
    assert message.tsig is not None
    # dnspython signs with the system's time when it writes the message; signing here lets the caller give the time.
    signature, _ = dns.tsig.sign(unsigned, key.key, message.tsig[0], int(now), b"")
    message.tsig.clear()
    message.tsig.add(signature)
    message.want_tsig_sign = False
    return SignedMessage(message.to_wire(), message.id, signature.mac, key)


def check_answer(answer: bytes, sent: SignedMessage, server: str, zone: str, now: float) -> None:
    """Read the answer to an update; return only if the server says that it was done.

    `server` is used in messages. The answer to a signed update must be signed with the same key. Raises `UpdateFailed`.
    """
    key = sent.key
    try:
        unverified = dns.message.from_wire(answer, keyring=False)
        rcode = unverified.rcode()
        if key is not None and (unverified.had_tsig or rcode == dns.rcode.NOERROR):
            dns.message.from_wire(answer, keyring=key.key, request_mac=sent.mac)
    except dns.tsig.PeerBadTime:
        raise UpdateFailed(Reason.DNS_CLOCK, _clock_sentence(unverified, server, now)) from None
    except dns.tsig.PeerBadKey:
        assert key is not None
        raise UpdateFailed(
            Reason.DNS_KEY,
            f"The DNS server {server} knows no TSIG key {key.name} with the algorithm {key.algorithm} (BADKEY).",
        ) from None
    except dns.tsig.PeerBadSignature:
        assert key is not None
        raise UpdateFailed(
            Reason.DNS_KEY,
            f"The DNS server {server} has another secret for the TSIG key {key.name} than our key file (BADSIG).",
        ) from None
    except (dns.tsig.BadTime, dns.tsig.PeerError, dns.exception.DNSException) as error:
        raise UpdateFailed(
            Reason.DNS_BAD_ANSWER,
            f"The DNS server {server} gave an answer to the update of {zone} that cannot be trusted: "
            f"{str(error).rstrip('.')}.",
        ) from None
    if unverified.id != sent.id:
        raise UpdateFailed(Reason.DNS_BAD_ANSWER, f"The DNS server {server} answered another question than ours.")
    if rcode != dns.rcode.NOERROR:
        raise _refusal(rcode, server, zone, key)


def _clock_sentence(answer: dns.message.Message, server: str, now: float) -> str:
    # The signature's "other data" contains the server's own time in 6 bytes (RFC 8945 section 5.2.3).
    other = answer.tsig[0].other if answer.tsig else b""
    if len(other) != 6:
        return f"The DNS server {server} says that our clock is more than {FUDGE} seconds off its own (BADTIME)."
    theirs = int.from_bytes(other, "big")
    direction = "ahead of" if now > theirs else "behind"
    return (
        f"Our clock is {abs(int(now) - theirs)} seconds {direction} the DNS server {server}'s, which reads "
        f"{datetime.fromtimestamp(theirs, UTC):%Y-%m-%d %H:%M:%S} UTC; at most {FUDGE} seconds are allowed (BADTIME)."
    )


def _refusal(rcode: dns.rcode.Rcode, server: str, zone: str, key: SigningKey | None) -> UpdateFailed:
    text = dns.rcode.to_text(rcode)
    signed = f"signed with the key {key.name}" if key else "that is not signed with a TSIG key"
    if key is not None and key.algorithm == "gss-tsig":
        signed = "signed by our Kerberos principal"
    sentences: dict[int, tuple[Reason, str]] = {
        dns.rcode.REFUSED: (
            Reason.DNS_REFUSED,
            f"The DNS server {server} does not allow an update of {zone} {signed}",
        ),
        dns.rcode.NOTAUTH: (Reason.DNS_NOT_ZONE, f"The DNS server {server} is not responsible for the zone {zone}"),
        dns.rcode.NOTZONE: (
            Reason.DNS_NOT_ZONE,
            f"The record's name is not in the zone {zone}, says the DNS server {server}",
        ),
        dns.rcode.SERVFAIL: (
            Reason.DNS_SERVER_FAILURE,
            f"The DNS server {server} could not do the update of {zone}; its log says why",
        ),
        dns.rcode.NOTIMP: (Reason.DNS_REFUSED, f"The DNS server {server} accepts no dynamic updates at all"),
        dns.rcode.FORMERR: (Reason.DNS_BAD_ANSWER, f"The DNS server {server} does not understand the update of {zone}"),
    }
    reason, sentence = sentences.get(
        rcode, (Reason.DNS_SERVER_FAILURE, f"The DNS server {server} did not do the update of {zone}")
    )
    return UpdateFailed(reason, f"{sentence} ({text}).")
