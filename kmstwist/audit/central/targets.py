"""The central stores that a gateway's store is forwarded to, and how far each has been fed."""

from __future__ import annotations

from sqlalchemy import URL, Engine, make_url, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.engine import reading, writing


def target_name(target: Engine) -> str:
    """The name under which a target's progress is noted: its URL, without user and password."""
    return _name_of(target.url)


def _name_of(url: URL) -> str:
    # Another user, password or time to wait is the same store.
    where = {"host", "port", "dbname", "service"}
    query = {name: value for name, value in url.query.items() if name in where}
    bare = URL.create(url.drivername, host=url.host, port=url.port, database=url.database, query=query)
    return bare.render_as_string()


def forwarded_up_to(spool: Engine, target: str) -> int:
    """The `seq` up to which every record is in the target; 0 for a target not fed yet."""
    table = schema.forwarding
    with reading(spool) as connection:
        return connection.scalar(select(table.c.seq).where(table.c.target == target)) or 0


def register(spool: Engine, target: str) -> None:
    """Note at start that this target is to be fed, so that retention spares records that it does not have yet."""
    table = schema.forwarding
    insert = insert_for("sqlite", table).on_conflict_do_nothing(index_elements=["target"])
    with writing(spool) as connection:
        known = dict(connection.execute(select(table.c.target, table.c.seq)).all())
        # Noted by an earlier version, with the user's name.
        same = [each for each in known if each != target and "://" in each and _name_of(make_url(each)) == target]
        if target not in known:
            so_far = max((known[each] for each in same), default=0)
            connection.execute(insert, {"target": target, "seq": so_far, "at": 0})


def unregister_others(spool: Engine, target: str | None) -> None:
    """Forget the progress of every other target: retention need not wait for targets that are no longer fed."""
    table = schema.forwarding
    statement = table.delete() if target is None else table.delete().where(table.c.target != target)
    with writing(spool) as connection:
        connection.execute(statement)
