"""The tables of the file in which lab machines are kept. An id is kept as 32 hexadecimal digits."""

from __future__ import annotations

from typing import Final

MAKING: Final = (
    # Names are compared without regard to case, as in Windows.
    """CREATE TABLE IF NOT EXISTS machine (
        "key" VARCHAR NOT NULL PRIMARY KEY,
        name VARCHAR NOT NULL,
        cmid CHAR(32) NOT NULL,
        previous_cmid CHAR(32) NOT NULL,
        created FLOAT NOT NULL,
        rearms_left INTEGER NOT NULL,
        domain VARCHAR,
        dns_host VARCHAR,
        dns_port INTEGER,
        "virtual" BOOLEAN NOT NULL,
        kms_version INTEGER NOT NULL,
        caching BOOLEAN NOT NULL,
        cached_host VARCHAR,
        cached_port INTEGER,
        key_in_registry BOOLEAN NOT NULL,
        region VARCHAR DEFAULT 'en-US' NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS machine_licence (
        machine VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        product VARCHAR NOT NULL,
        partial_key VARCHAR,
        installs INTEGER NOT NULL,
        rearms_left INTEGER NOT NULL,
        by_phone BOOLEAN NOT NULL,
        status INTEGER NOT NULL,
        expires FLOAT,
        next_attempt FLOAT NOT NULL,
        last_success FLOAT,
        host_id VARCHAR,
        activation_interval INTEGER NOT NULL,
        renewal_interval INTEGER NOT NULL,
        trouble VARCHAR DEFAULT '' NOT NULL,
        found_host VARCHAR,
        found_port INTEGER,
        host_address VARCHAR,
        PRIMARY KEY (machine, position)
    )""",
    """CREATE TABLE IF NOT EXISTS machine_setting (
        machine VARCHAR NOT NULL,
        scope VARCHAR NOT NULL,
        host VARCHAR,
        port INTEGER,
        lookup_domain VARCHAR,
        act_type INTEGER,
        PRIMARY KEY (machine, scope)
    )""",
    """CREATE TABLE IF NOT EXISTS machine_event (
        id INTEGER NOT NULL PRIMARY KEY,
        machine VARCHAR NOT NULL,
        at FLOAT NOT NULL,
        number INTEGER NOT NULL,
        info VARCHAR NOT NULL,
        product VARCHAR NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS ix_machine_event_machine ON machine_event (machine)",
)

#: The columns that version 2 added to version 1.
ADDED: Final = {
    "machine": ("region VARCHAR NOT NULL DEFAULT 'en-US'",),
    "machine_licence": (
        "trouble VARCHAR NOT NULL DEFAULT ''",
        "found_host VARCHAR",
        "found_port INTEGER",
        "host_address VARCHAR",
    ),
}
