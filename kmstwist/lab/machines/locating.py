"""Where a lab machine finds KMS hosts in DNS: the domains Windows would look in, the records in RFC 2782's order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.system_dns import NoDnsServer, system_search_list
from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem
from kmstwist.discovery.lookup.dns_names import NameInvalid
from kmstwist.discovery.lookup.dns_names import domain as valid_domain
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.search import ClientSettings, search_domains
from kmstwist.discovery.lookup.srv import available, try_order
from kmstwist.kms.status import Status
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.reactor import Reactor

Locator = Callable[[Machine, Licence], Awaitable[list[HostPort]]]
"""Finds the hosts a licence may ask, in the order to try them, at least one. Fails with a `LocateFailed`."""


class LocateFailed(Exception):
    """Discovery found no host; `code` is Windows' for it, the text a sentence that says why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = int(code)


def locator(reactor: Reactor, random: Random) -> Locator:
    """A `Locator` that asks DNS: at the machine's own DNS server if it has one, else at this computer's."""

    async def locate(machine: Machine, licence: Licence) -> list[HostPort]:
        _check_lookup_domain(machine, licence)
        settings = ClientSettings(
            lookup_domain=machine.lookup_domain_of(licence),
            primary_suffix=machine.domain,
            search_list=() if machine.domain else _own_search_list(),
        )
        domains = [domain.name for domain in search_domains(settings)]
        if not domains:
            raise LocateFailed(
                Status.E_DNS_INVALID_NAME,
                f"{machine.name} knows no DNS domain: give it one (lab machine new --domain), or a host (/skms).",
            )
        lookup = Lookup(reactor, [machine.dns_server] if machine.dns_server else [])
        failed: LookupFailed | None = None
        for domain in domains:
            try:
                answer = await lookup.service(domain)
            except NoDnsServer as missing:
                raise LocateFailed(Status.E_DNS_NO_SERVERS, str(missing)) from None
            except LookupFailed as failure:
                if not failure.says_no:
                    raise LocateFailed(Status.E_DNS_SERVER_FAILURE, str(failure)) from None
                failed = failure
                continue
            records = try_order(available(answer.records), random)
            if not records:
                raise LocateFailed(
                    Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE,
                    f'DNS says that {domain} has no KMS host: the target of its SRV record {answer.name} is ".". Put '
                    "a host there, or set one (/skms).",
                )
            return [HostPort(record.target, record.port) for record in records]
        assert failed is not None
        no_name = failed.problem is LookupProblem.NO_SUCH_NAME
        raise LocateFailed(Status.E_DNS_NAME_ERROR if no_name else Status.E_DNS_NO_RECORDS, str(failed))

    return locate


def _check_lookup_domain(machine: Machine, licence: Licence) -> None:
    """Windows accepts any text as a lookup domain; an invalid one fails here."""
    name = machine.lookup_domain_of(licence)
    if name is not None:
        try:
            valid_domain(name)
        except NameInvalid as error:
            raise LocateFailed(Status.E_DNS_INVALID_NAME, str(error)) from None


def _own_search_list() -> tuple[str, ...]:
    try:
        return system_search_list()
    except NoDnsServer:
        return ()
