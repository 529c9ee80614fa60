"""The two services on a real reactor, against a real BIND 9."""

from __future__ import annotations

import time

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent

from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.publisher import PublisherService
from kmstwist.discovery.publishing.tsig import read_key_file
from kmstwist.discovery.publishing.updater import Updater
from kmstwist.discovery.strangers import StrangerWatch
from tests.discovery.named import PATIENT, StartNamed
from tests.logs import logger
from tests.reactors import reactor

pytestmark = pytest.mark.needs("named", "dig")

FOREIGN = "_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.\nlicensed IN A 192.0.2.7\n"


class FirstEvent:
    """A logger, and a Deferred that fires with the name and fields of the first event."""

    def __init__(self) -> None:
        self.seen: Deferred[tuple[str, dict[str, object]]] = Deferred()
        self.logger = logger(self._observe)

    def _observe(self, event: LogEvent) -> None:
        if not self.seen.called:
            self.seen.callback((event["kms_event"], event["kms_fields"]))


@ensureDeferred
async def test_the_record_is_there_while_the_service_runs_and_the_zone_as_before_after_it(
    start_named: StartNamed,
) -> None:
    named = start_named({"corp.test": FOREIGN + "gw IN A 192.0.2.8\n"})
    before = named.transfer("corp.test")
    first = FirstEvent()
    lookup = Lookup(reactor, [named.server], PATIENT)
    updater = Updater(reactor, lookup, read_key_file(named.key_file()), time.time, named.server)
    ours = Publication("corp.test", "gw.corp.test")
    service = PublisherService(reactor, updater, [ours], lambda: 0.0, withdraw=True, log=first.logger)

    service.startService()
    name, _ = await first.seen
    running = named.dig("_vlmcs._tcp.corp.test", "SRV")
    await service.stopService()

    assert name == "dns-published"
    assert running == ["0 100 1688 gw.corp.test.", "0 100 1688 licensed.corp.test."]
    assert named.transfer("corp.test") == before


@ensureDeferred
async def test_the_watch_reports_the_host_that_nobody_configured(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN})
    first = FirstEvent()
    watch = StrangerWatch(
        reactor, Lookup(reactor, [named.server], PATIENT), ["corp.test"], lambda: {"gw.corp.test"}, log=first.logger
    )

    watch.startService()
    name, fields = await first.seen
    watch.stopService()

    assert (name, fields["host"], fields["addresses"]) == ("dns-stranger", "licensed.corp.test", "192.0.2.7")
