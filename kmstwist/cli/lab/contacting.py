"""Letting a lab machine ask a host over real connections; separate, since most of the lab's commands need none."""

from __future__ import annotations

import os
from random import SystemRandom

from kmstwist.clock import now
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import Asking, contact_over_tcp
from kmstwist.lab.machines.locating import locator
from kmstwist.reactor import Reactor


def asking_on(reactor: Reactor, key: LabKey, timeout: float) -> Asking:
    """What a lab machine needs to ask a host over real connections."""
    return Asking(
        LabCipher(key, os.urandom),
        locator(reactor, SystemRandom()),
        contact_over_tcp(reactor, timeout),
        now,
    )
