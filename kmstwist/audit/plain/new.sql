-- The tables of a new store in SQLite, as the program makes them. They are those of `schema`, which a test compares.
CREATE TABLE events (
    seq INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    event_id INTEGER NOT NULL,
    computer VARCHAR NOT NULL,
    event_record_id BIGINT,
    at BIGINT NOT NULL,
    hresult BIGINT,
    machine VARCHAR,
    cmid VARCHAR,
    act_id VARCHAR,
    license_status BIGINT,
    virtual_machine SMALLINT,
    minutes_left BIGINT,
    required_count BIGINT,
    count BIGINT,
    client_time VARCHAR,
    target VARCHAR,
    record_id BLOB,
    CONSTRAINT pk_events PRIMARY KEY (seq)
);
CREATE UNIQUE INDEX ix_events_fingerprint ON events (fingerprint);
CREATE INDEX ix_events_machine ON events (machine);
CREATE INDEX ix_events_record_id_at ON events (record_id, at);
CREATE TABLE facts (
    name VARCHAR NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_facts PRIMARY KEY (name)
);
CREATE TABLE forwarding (
    target VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_forwarding PRIMARY KEY (target)
);
CREATE TABLE hourly_activity (
    hour INTEGER NOT NULL,
    gateway VARCHAR NOT NULL,
    upstream VARCHAR NOT NULL,
    product VARCHAR NOT NULL,
    calls BIGINT NOT NULL,
    successes BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    answer_ms FLOAT NOT NULL,
    answer_calls BIGINT NOT NULL,
    CONSTRAINT pk_hourly_activity PRIMARY KEY (hour, gateway, upstream, product)
);
CREATE TABLE hourly_failures (
    hour INTEGER NOT NULL,
    client VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    status BIGINT NOT NULL,
    machine VARCHAR NOT NULL,
    network VARCHAR NOT NULL,
    upstream VARCHAR NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    CONSTRAINT pk_hourly_failures PRIMARY KEY (hour, client, reason, kind, status, machine)
);
CREATE INDEX ix_hourly_failures_report ON hourly_failures (kind, status, reason, network, client, calls, first_at, last_at);
CREATE TABLE machine_cmids (
    machine VARCHAR NOT NULL,
    app VARCHAR NOT NULL,
    cmid VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    required_count BIGINT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    last_answered BIGINT,
    calls BIGINT NOT NULL,
    CONSTRAINT pk_machine_cmids PRIMARY KEY (machine, app, cmid)
);
CREATE INDEX ix_machine_cmids_cmid ON machine_cmids (cmid);
CREATE TABLE machines (
    machine VARCHAR NOT NULL,
    app VARCHAR NOT NULL,
    slot VARCHAR NOT NULL,
    named SMALLINT NOT NULL,
    address VARCHAR NOT NULL,
    network VARCHAR NOT NULL,
    gateway VARCHAR NOT NULL,
    upstream VARCHAR,
    cmid VARCHAR,
    act_id VARCHAR,
    product VARCHAR,
    virtual_machine SMALLINT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    last_success BIGINT,
    last_answered BIGINT,
    last_status BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    successes BIGINT NOT NULL,
    CONSTRAINT pk_machines PRIMARY KEY (machine, app, slot)
);
CREATE INDEX ix_machines_network ON machines (network);
CREATE TABLE records (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    record_id BLOB NOT NULL,
    at BIGINT NOT NULL,
    gateway VARCHAR NOT NULL,
    client VARCHAR NOT NULL,
    peer VARCHAR,
    version SMALLINT,
    upstream VARCHAR,
    hresult BIGINT,
    fault BIGINT,
    reason VARCHAR NOT NULL,
    detail TEXT NOT NULL,
    receive_ms FLOAT,
    answer_ms FLOAT,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    machine VARCHAR,
    cmid VARCHAR,
    app_id VARCHAR,
    act_id VARCHAR,
    product VARCHAR,
    license_status BIGINT,
    virtual_machine SMALLINT,
    minutes_left BIGINT,
    required_count BIGINT,
    count BIGINT
);
CREATE INDEX ix_records_block_client ON records (seq / 4096, client) WHERE machine IS NULL;
CREATE INDEX ix_records_block_machine ON records (seq / 4096, machine COLLATE NOCASE) WHERE machine IS NOT NULL;
CREATE UNIQUE INDEX ix_records_record_id ON records (record_id);
CREATE TABLE strangers (
    gateway VARCHAR NOT NULL,
    domain VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    port INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    addresses TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    gone BIGINT,
    CONSTRAINT pk_strangers PRIMARY KEY (gateway, domain, host, port)
);
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version (version_num) VALUES ('0005');
