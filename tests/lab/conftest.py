"""Fixtures of the lab's tests: a key, a product of each family, a host whose clock they set."""

from __future__ import annotations

import random as stdlib_random
from collections.abc import Callable
from uuid import UUID

import pytest

from kmstwist.kms.catalogue import Product, find
from kmstwist.kms.messages import Request, Response
from kmstwist.kms.version import V6, Version
from kmstwist.lab.client import LabClient, Outcome
from kmstwist.lab.host import LabHost
from kmstwist.lab.host_memory import Memory
from kmstwist.lab.keys import LabKey

# 2026-01-05 00:00:00 UTC, a Monday.
START = 1_767_571_200.0
DAY = 86_400


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def random_bytes() -> Callable[[int], bytes]:
    return stdlib_random.Random(1).randbytes


@pytest.fixture
def key() -> LabKey:
    return LabKey(bytes(range(32)))


@pytest.fixture
def host(key: LabKey, clock: Clock, random_bytes: Callable[[int], bytes]) -> LabHost:
    return LabHost(key, now=clock, random=random_bytes)


@pytest.fixture
def windows() -> Product:
    return find("Windows 11 / 10 Enterprise")


@pytest.fixture
def server() -> Product:
    return find("Windows Server 2022 Standard")


@pytest.fixture
def office() -> Product:
    return find("Office LTSC Professional Plus 2021")


def machine(number: int, product: Product, installed: float = START, version: Version = V6) -> LabClient:
    return LabClient(f"PC-{number:05}", UUID(int=number + 1), product, installed=installed, version=version)


def ask(host: LabHost, client: LabClient, now: float) -> Outcome:
    """One activation without cryptography."""
    return client.process(*host.decide(client.request(now)), now)


def granted(host: LabHost, request: Request) -> Response:
    """The answer to a request that must be granted."""
    _, response = host.decide(request)
    assert response is not None
    return response


def changes_of(host: LabHost) -> Memory:
    """What has changed in a host; fails if nothing has."""
    changes = host.take_changes()
    assert changes is not None
    return changes
