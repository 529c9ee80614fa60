"""The questions themselves, each a statement; its columns are what its reader unpacks, in that order.

After a change, `python -m kmstwist.audit.asking.generate` writes their text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, or_, select, tuple_

from kmstwist.audit import schema
from kmstwist.audit.asking.conditions import element
from kmstwist.audit.asking.expressions import Parameters, plain_order
from kmstwist.audit.asking.limits import Condition
from kmstwist.audit.records import NO_GATEWAY
from kmstwist.audit.sums.networks import UNKNOWN_NETWORK
from kmstwist.reasons import REFUSING

_Made = Callable[[Parameters], Select[Any]]

_M, _C = schema.machines.c, schema.machine_cmids.c
_F, _A = schema.hourly_failures.c, schema.hourly_activity.c
#: How many rows of the machines are read from the store at a time: a few, from PostgreSQL, too.
_PIECE = 2000


def _machines(*order: ColumnElement[Any]) -> _Made:
    """Each machine with its activation, in this order and then by its key."""
    columns = (
        *(_M.machine, _M.address, _M.app, _M.product, _M.act_id),
        *(_M.last_success, _M.last_seen, _M.last_status, _M.calls),
    )
    key = map(plain_order, (_M.machine, _M.app, _M.slot))
    made = select(*columns).order_by(*order, *key).execution_options(yield_per=_PIECE)
    return lambda p: made.where(*p.where).limit(p.limit)


def _new_machines(p: Parameters) -> Select[Any]:
    """Machines, not products: one that has only added Office is not new."""
    first = func.min(_M.first_seen)
    return (
        select(_M.machine, func.min(_M.product), first)
        .where(*p.where)
        .group_by(_M.machine)
        .having(first >= p("first_from"), first <= p("first_to"))
        .order_by(first, plain_order(_M.machine))
    )


def _machine_networks(_: Parameters) -> Select[Any]:
    # The index leads from one to the next: there are far fewer networks than machines.
    first = select(func.min(_M.network).label("network")).cte("networks", recursive=True)
    following = select(func.min(_M.network)).where(_M.network > first.c.network).scalar_subquery()
    every = first.union_all(select(following).where(first.c.network.is_not(None)))
    return select(every.c.network).where(every.c.network.is_not(None))


def _shared_cmids(p: Parameters) -> Select[Any]:
    several = select(_C.cmid).where(*p.where).group_by(_C.cmid).having(func.count(_C.machine.distinct()) > 1)
    order = (plain_order(_C.cmid), _C.last_seen.desc(), plain_order(_C.machine), _C.app)
    return _cmids.where(_C.cmid.in_(several), *p.where).order_by(*order)


def _changed_cmids(p: Parameters) -> Select[Any]:
    key = (_C.machine, _C.app)
    several = select(*key).where(*p.where).group_by(*key).having(func.count() > 1)
    order = (plain_order(_C.machine), plain_order(_C.app), _C.last_seen.desc(), plain_order(_C.cmid))
    return _cmids.where(tuple_(*key).in_(several), *p.where).order_by(*order)


_cmids = select(_C.machine, _C.app, _C.cmid, _C.last_seen)


def _failures(p: Parameters) -> Select[Any]:
    key = (_F.kind, _F.status, _F.reason, _F.network)
    calls = func.sum(_F.calls)
    # A call that only the host's event reports has a name and no address.
    clients = func.count(func.coalesce(func.nullif(_F.client, ""), _F.machine).distinct())
    return (
        select(*key, calls, clients, func.min(_F.first_at), func.max(_F.last_at))
        .where(*p.where)
        .group_by(*key)
        .order_by(calls.desc(), *(each if each is _F.status else plain_order(each) for each in key))
    )


def _refused(p: Parameters) -> Select[Any]:
    key = (_F.client, _F.network, _F.reason, _F.machine)
    last = func.max(_F.last_at)
    return (
        select(*key, func.sum(_F.calls), func.min(_F.first_at), last)
        .where(or_(*(_F.reason.startswith(word, autoescape=True) for word in REFUSING)), *p.where)
        .group_by(*key)
        .order_by(last.desc(), *map(plain_order, (_F.client, _F.reason, _F.machine)))
    )


def _activity(bucket: ColumnElement[Any] | Callable[[Parameters], ColumnElement[Any]], *, timely: bool) -> _Made:
    """The calls added up: the latest bucket of time first, the others by the number of calls."""

    def made(p: Parameters) -> Select[Any]:
        by = bucket if isinstance(bucket, ColumnElement) else bucket(p)
        calls = func.sum(_A.calls)
        return (
            select(
                by.label("bucket"),
                calls,
                func.sum(_A.successes),
                func.sum(_A.answer_ms),
                func.sum(_A.answer_calls),
                func.sum(_A.bytes_in),
                func.sum(_A.bytes_out),
                # A KMS host's events do not contain byte counts.
                func.max(_A.gateway),
            )
            .where(*p.where)
            .group_by("bucket")
            .order_by(*((by.desc(),) if timely else (calls.desc(), plain_order(by))))
        )

    return made


def _read_clients(p: Parameters) -> Select[Any]:
    # A host counts only clients that it saw, not those that were refused here or reached no host.
    key = (_C.app, _C.cmid, _C.required_count)
    answered = _C.last_answered
    return select(*key, func.max(answered)).where(answered > p("after"), answered <= p("to")).group_by(*key)


def _opaque_clients(p: Parameters) -> Select[Any]:
    answered = _M.last_answered
    return select(_M.machine, answered).where(_M.cmid.is_(None), answered > p("after"), answered <= p("to"))


def _numbers(p: Parameters, *key: ColumnElement[Any]) -> Select[Any]:
    """How many machines there are by product and by another key, with what they are."""
    product = p.named("called", _M.act_id, _M.product).label("called")
    # A product without a name is known by its id.
    unnamed = case((product.is_(None), _M.act_id)).label("unnamed")
    columns = (product, unnamed, *key)
    return (
        select(
            *columns,
            func.count(_M.machine.distinct()),
            func.sum(case((_M.last_seen > p("active_after"), 1), else_=0)),
            func.sum(case((_M.virtual_machine == 1, 1), else_=0)),
            func.max(_M.last_seen),
        )
        .where(*p.where)
        # By the columns' names: PostgreSQL takes an expression with values in it for another one each time.
        .group_by(*(column.name for column in columns))
    )


def _products(p: Parameters) -> Select[Any]:
    known = case((_M.network != UNKNOWN_NETWORK, _M.network))
    return _numbers(p, p.case("applications", _M.app).label("application")).add_columns(func.count(known.distinct()))


def _strangers(_: Parameters) -> Select[Any]:
    table = schema.strangers.c
    names = map(plain_order, (table.domain, table.host, table.gateway))
    order = (table.gone.is_not(None), table.last_seen.desc(), *names, table.port)
    where = (table.domain, table.host, table.port, table.addresses, table.priority, table.weight)
    return select(*where, table.first_seen, table.last_seen, table.gone, table.gateway).order_by(*order)


def _completed(column: ColumnElement[Any]) -> _Made:
    """The values of a column, by name, for a key press."""
    found = select(column).where(column.is_not(None)).distinct().order_by(column).limit(100)
    return lambda p: found.where(*p.where)


_BY_TIME = select(schema.records.c.at).order_by(schema.records.c.record_id.desc())

STATEMENTS: Mapping[str, _Made] = {
    "fact": lambda p: select(schema.facts.c.value).where(schema.facts.c.name == p("name")),
    # An id begins with its record's time, so the index leads to the newest record directly.
    "newest record": lambda _: _BY_TIME.limit(1),
    "machines by success": _machines(_M.last_success.is_not(None), _M.last_success),
    "machines by call": _machines(_M.last_seen),
    "number of machines": lambda p: select(func.count()).select_from(schema.machines).where(*p.where),
    "names of machines": lambda p: select(_M.machine).where(*p.where).execution_options(yield_per=_PIECE),
    "number never granted": lambda p: select(func.count(_M.machine.distinct())).where(
        _M.last_success.is_(None), *p.where
    ),
    "new machines": _new_machines,
    "last calls without a name": lambda _: select(_M.machine, _M.last_seen).where(_M.named == 0),
    "last calls by name": lambda _: select(_M.address, _M.machine, _M.last_seen).where(_M.named == 1),
    "machines without a name": lambda p: select(_M.machine).where(_M.named == 0, *p.where),
    "number without a name": lambda _: select(func.count(_M.machine.distinct())).where(_M.named == 0),
    "networks of machines": _machine_networks,
    "networks of hourly_failures": lambda _: select(_F.network).distinct(),
    "shared CMIDs": _shared_cmids,
    "changed CMIDs": _changed_cmids,
    "machines with CMIDs": lambda p: select(_C.machine).where(*p.where),
    "failures": _failures,
    "refused": _refused,
    "activity by hour": _activity(_A.hour, timely=True),
    "activity by day": _activity(_A.hour - _A.hour % 24, timely=True),
    "activity by upstream": _activity(_A.upstream, timely=False),
    "activity by product": _activity(lambda p: p.named("called", _A.product, _A.product), timely=False),
    "products of activity": lambda _: select(_A.product).where(_A.product.is_not(None)).distinct(),
    "read clients": _read_clients,
    "opaque clients": _opaque_clients,
    "applications": lambda _: select(_M.app).distinct(),
    "product ids": lambda p: select(_M.act_id).where(_M.act_id.is_not(None), *p.where).distinct(),
    "product ids without a name": lambda _: (
        select(_M.act_id).where(_M.product.is_(None), _M.act_id.is_not(None)).distinct()
    ),
    "recorded products": lambda _: (
        select(_M.act_id, func.max(_M.product)).where(_M.act_id.is_not(None)).group_by(_M.act_id)
    ),
    "machines by product": _products,
    "machines by network and product": lambda p: _numbers(p, _M.network),
    "strangers": _strangers,
    "a stranger": lambda _: select(schema.strangers.c.host).limit(1),
    "an hour of calls": lambda _: select(_A.hour).limit(1),
    "an hour of a gateway's calls": lambda _: select(_A.hour).where(_A.gateway != NO_GATEWAY).limit(1),
    # A refusal without a call has an address.
    "an hour of a gateway's failures": lambda _: select(_F.hour).where(_F.client != "").limit(1),
    "completed machines": _completed(_M.machine),
    "completed upstreams": _completed(_M.upstream),
    "completed products": _completed(_M.product),
}


def statement(question: str, where: Sequence[Condition], values: Mapping[str, Any]) -> Select[Any]:
    """A question's statement with its conditions and values, to be run."""
    return STATEMENTS[question](Parameters(values, list(map(element, where))))
