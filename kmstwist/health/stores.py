"""The checks of `kmstwist doctor` for the audit's stores: this gateway's own, and the central one that it feeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kmstwist.findings import Finding, Health
from kmstwist.health.case import SUDO, Case, may_look_into
from kmstwist.shown import counted
from kmstwist.system.rights import rights_in
from kmstwist.system.sqlitecodes import Trouble, trouble_of

if TYPE_CHECKING:
    from kmstwist.audit.central.examine import Examined

_MIB = 1 << 20
_CENTRAL_CURE = "docs/central-store.md has the roles, the password's place and the order of upgrades; records wait here"


def check_audit(case: Case) -> Iterator[Finding]:
    """The audit's store: whether it opens, and whether it is as new as this program."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    from kmstwist.audit.engine import open_reader, reading
    from kmstwist.audit.migrate import current_revision
    from kmstwist.audit.plain.faults import plain_error
    from kmstwist.audit.plain.revision import is_known
    from kmstwist.audit.plain.start_check import HEAD

    section = case.config.audit
    if not section.enabled:
        yield Finding("audit", Health.DEGRADED, "the audit is off", "enabled = true in [audit]")
        return
    store = section.store_path(case.state_dir, lab=not case.config.gateway.configured)
    if not may_look_into(store.parent):
        yield Finding("audit", Health.DEGRADED, f"this user may not read the store {store}", SUDO)
        return
    if not store.exists():
        yield Finding(
            "audit", Health.HEALTHY, f"there is no store {store} yet; kmstwist creates it when it first starts"
        )
        return
    if not store.is_file():
        # Not to be opened: nobody may ever write into a pipe.
        what = "a folder" if store.is_dir() else "no file"
        cure = "move it away, or name another store in [audit]"
        yield Finding("audit", Health.DOWN, f"in the place of the store {store} is {what}", cure)
        return
    try:
        # For reading only: a server that makes its store at this very moment must not meet another writer.
        with rights_in(store.absolute().parent):
            engine = open_reader(store)
            with reading(engine) as connection:
                revision = current_revision(connection)
                empty = not inspect(connection).get_table_names()
            engine.dispose()
    except (SQLAlchemyError, OSError) as error:
        cure = str(trouble_of(error)) or "check its owner and mode"
        if trouble_of(error) in (Trouble.DAMAGED, Trouble.NO_STORE):
            cure += "; kmstwist audit verify checks all of it"
        yield Finding("audit", Health.DOWN, f"the store {store} cannot be read: {plain_error(error)}", cure)
        return
    if revision == HEAD:
        yield Finding("audit", Health.HEALTHY, f"the store {store} opens, {store.stat().st_size // _MIB} MiB")
    elif empty:
        # As it is for a moment while a server makes it.
        yield Finding("audit", Health.HEALTHY, f"the store {store} is empty; kmstwist fills it when it starts")
    elif revision is None:
        what = f"{store} is a database without the audit's tables, so the server does not use it"
        yield Finding("audit", Health.DOWN, what, "name another store in [audit], or move this one away")
    elif is_known(revision):
        cure = "the next start of kmstwist upgrades it; back it up first: kmstwist audit backup"
        yield Finding("audit", Health.DEGRADED, f"the store {store} is of an earlier version ({revision})", cure)
    else:
        what = f"the store {store} is of another version ({revision}), so the server does not start"
        yield Finding("audit", Health.DOWN, what, "install that version or a later one")


def check_central_store(case: Case) -> Iterator[Finding]:
    """The central store, if there is one: whether it takes records from here, and how many wait for it."""
    section = case.config.audit
    if not section.enabled or section.forward_to is None:
        return
    from kmstwist.audit.central.examine import examine

    store = section.store_path(case.state_dir, lab=not case.config.gateway.configured)
    found = examine(section.forward_to, store, hashes=section.privacy.policy().hashes)
    waiting = f"; {counted(found.behind, 'record')} waiting for it" if found.behind else ""
    told = _told_of_central_store(case, found, waiting)
    if told is not None:
        yield told
    elif found.problem:
        yield Finding(
            "central store", Health.DEGRADED, f"{found.name} cannot be fed: {found.problem}{waiting}", _CENTRAL_CURE
        )
    else:
        text = f"{found.name} can be reached, and its tables can be written{waiting}"
        yield Finding("central store", Health.HEALTHY, text)


def _told_of_central_store(case: Case, found: Examined, waiting: str) -> Finding | None:
    """What the server that feeds it knows, which has sent records and has the service's password; None if nothing."""
    known, status = case.running.findings, case.server
    if known is None or status is None:
        return None
    for finding in known:
        if finding.check == "central store":
            text = finding.text
            if not found.problem:
                text += " (it can be reached from here: it refuses what is sent, or does not take it in time)"
            return replace(finding, what=text, cure=finding.cure or _CENTRAL_CURE)
    if found.name not in status.get("central", ()):
        if any(finding.check == "audit" for finding in known):
            # Nothing is fed from a store that cannot be opened, which has its own finding.
            return None
        text = f"the running server does not feed {found.name}: the configuration was changed since its start"
        return Finding("central store", Health.DEGRADED, text, "restart it")
    if not status.get("central_connected"):
        return None
    text = f"the server feeds {found.name}{waiting}"
    if found.problem:
        text += f" (this command cannot, which has another environment: {found.problem})"
    return Finding("central store", Health.HEALTHY, text)
