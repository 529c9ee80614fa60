"""The tables of the file in which lab machines are kept."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, String, Table, Uuid

metadata = MetaData()
machines = Table(
    "machine",
    metadata,
    # Names are compared without regard to case, as in Windows.
    Column("key", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("cmid", Uuid, nullable=False),
    Column("previous_cmid", Uuid, nullable=False),
    Column("created", Float, nullable=False),
    Column("rearms_left", Integer, nullable=False),
    Column("domain", String),
    Column("dns_host", String),
    Column("dns_port", Integer),
    Column("virtual", Boolean, nullable=False),
    Column("kms_version", Integer, nullable=False),
    Column("caching", Boolean, nullable=False),
    Column("cached_host", String),
    Column("cached_port", Integer),
    Column("key_in_registry", Boolean, nullable=False),
    Column("region", String, nullable=False, server_default="en-US"),
)
licences = Table(
    "machine_licence",
    metadata,
    Column("machine", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("product", String, nullable=False),
    Column("partial_key", String),
    Column("installs", Integer, nullable=False),
    Column("rearms_left", Integer, nullable=False),
    Column("by_phone", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("expires", Float),
    Column("next_attempt", Float, nullable=False),
    Column("last_success", Float),
    Column("host_id", String),
    Column("activation_interval", Integer, nullable=False),
    Column("renewal_interval", Integer, nullable=False),
    Column("trouble", String, nullable=False, server_default=""),
    Column("found_host", String),
    Column("found_port", Integer),
    Column("host_address", String),
)
settings = Table(
    "machine_setting",
    metadata,
    Column("machine", String, primary_key=True),
    Column("scope", String, primary_key=True),
    Column("host", String),
    Column("port", Integer),
    Column("lookup_domain", String),
    Column("act_type", Integer),
)
events = Table(
    "machine_event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("machine", String, nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("number", Integer, nullable=False),
    Column("info", String, nullable=False),
    Column("product", String, nullable=False),
)

#: The columns that version 2 added to version 1.
ADDED = {
    "machine": ("region VARCHAR NOT NULL DEFAULT 'en-US'",),
    "machine_licence": (
        "trouble VARCHAR NOT NULL DEFAULT ''",
        "found_host VARCHAR",
        "found_port INTEGER",
        "host_address VARCHAR",
    ),
}
