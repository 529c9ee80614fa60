"""Every view by its name."""

from __future__ import annotations

from typing import Any

from kmstwist.web.view import View
from kmstwist.web.views import activity, calls, hosts, inventory, machines, overview

VIEWS: dict[str, View[Any]] = {
    view.name: view
    for view in (
        *overview.VIEWS,
        *machines.VIEWS,
        *hosts.VIEWS,
        *calls.VIEWS,
        *activity.VIEWS,
        *inventory.VIEWS,
    )
}
