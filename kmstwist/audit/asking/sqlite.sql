-- `statements`, `conditions` and `prepared_statements` in SQLite's SQL.
-- Written by `python -m kmstwist.audit.asking.generate`.

-- fact
SELECT facts.value
FROM facts
WHERE facts.name = :name;

-- newest record
SELECT records.at
FROM records ORDER BY records.record_id DESC
 LIMIT 1 OFFSET 0;

-- machines by success
SELECT machines.machine, machines.address, machines.app, machines.product, machines.act_id, machines.last_success, machines.last_seen, machines.last_status, machines.calls
FROM machines
WHERE {where} ORDER BY machines.last_success IS NOT NULL, machines.last_success, machines.machine, machines.app, machines.slot;

-- machines by call
SELECT machines.machine, machines.address, machines.app, machines.product, machines.act_id, machines.last_success, machines.last_seen, machines.last_status, machines.calls
FROM machines
WHERE {where} ORDER BY machines.last_seen, machines.machine, machines.app, machines.slot;

-- number of machines
SELECT count(*) AS count_1
FROM machines
WHERE {where};

-- names of machines
SELECT machines.machine
FROM machines
WHERE {where};

-- number never granted
SELECT count(DISTINCT machines.machine) AS count_1
FROM machines
WHERE machines.last_success IS NULL AND {where};

-- new machines
SELECT machines.machine, min(machines.product) AS min_1, min(machines.first_seen) AS min_2
FROM machines
WHERE {where} GROUP BY machines.machine
HAVING min(machines.first_seen) >= :first_from AND min(machines.first_seen) <= :first_to ORDER BY min(machines.first_seen), machines.machine;

-- last calls without a name
SELECT machines.machine, machines.last_seen
FROM machines
WHERE machines.named = 0;

-- last calls by name
SELECT machines.address, machines.machine, machines.last_seen
FROM machines
WHERE machines.named = 1;

-- machines without a name
SELECT machines.machine
FROM machines
WHERE machines.named = 0 AND {where};

-- number without a name
SELECT count(DISTINCT machines.machine) AS count_1
FROM machines
WHERE machines.named = 0;

-- networks of machines
WITH RECURSIVE networks(network) AS
(SELECT min(machines.network) AS network
FROM machines UNION ALL SELECT (SELECT min(machines.network) AS min_1
FROM machines
WHERE machines.network > networks.network) AS anon_1
FROM networks
WHERE networks.network IS NOT NULL)
 SELECT networks.network
FROM networks
WHERE networks.network IS NOT NULL;

-- networks of hourly_failures
SELECT DISTINCT hourly_failures.network
FROM hourly_failures;

-- shared CMIDs
SELECT machine_cmids.machine, machine_cmids.app, machine_cmids.cmid, machine_cmids.last_seen
FROM machine_cmids
WHERE machine_cmids.cmid IN (SELECT machine_cmids.cmid
FROM machine_cmids
WHERE {where} GROUP BY machine_cmids.cmid
HAVING count(DISTINCT machine_cmids.machine) > 1) AND {where} ORDER BY machine_cmids.cmid, machine_cmids.last_seen DESC, machine_cmids.machine, machine_cmids.app;

-- changed CMIDs
SELECT machine_cmids.machine, machine_cmids.app, machine_cmids.cmid, machine_cmids.last_seen
FROM machine_cmids
WHERE (machine_cmids.machine, machine_cmids.app) IN (SELECT machine_cmids.machine, machine_cmids.app
FROM machine_cmids
WHERE {where} GROUP BY machine_cmids.machine, machine_cmids.app
HAVING count(*) > 1) AND {where} ORDER BY machine_cmids.machine, machine_cmids.app, machine_cmids.last_seen DESC, machine_cmids.cmid;

-- machines with CMIDs
SELECT machine_cmids.machine
FROM machine_cmids
WHERE {where};

-- failures
SELECT hourly_failures.kind, hourly_failures.status, hourly_failures.reason, hourly_failures.network, sum(hourly_failures.calls) AS sum_1, count(DISTINCT coalesce(nullif(hourly_failures.client, ''), hourly_failures.machine)) AS count_1, min(hourly_failures.first_at) AS min_1, max(hourly_failures.last_at) AS max_1
FROM hourly_failures
WHERE {where} GROUP BY hourly_failures.kind, hourly_failures.status, hourly_failures.reason, hourly_failures.network ORDER BY sum(hourly_failures.calls) DESC, hourly_failures.kind, hourly_failures.status, hourly_failures.reason, hourly_failures.network;

-- refused
SELECT hourly_failures.client, hourly_failures.network, hourly_failures.reason, hourly_failures.machine, sum(hourly_failures.calls) AS sum_1, min(hourly_failures.first_at) AS min_1, max(hourly_failures.last_at) AS max_1
FROM hourly_failures
WHERE ((hourly_failures.reason LIKE 'admission-' || '%' ESCAPE '/') OR (hourly_failures.reason LIKE 'audit-' || '%' ESCAPE '/') OR (hourly_failures.reason LIKE 'lab-' || '%' ESCAPE '/') OR (hourly_failures.reason LIKE 'rpc-' || '%' ESCAPE '/') OR (hourly_failures.reason LIKE 'server-' || '%' ESCAPE '/')) AND {where} GROUP BY hourly_failures.client, hourly_failures.network, hourly_failures.reason, hourly_failures.machine ORDER BY max(hourly_failures.last_at) DESC, hourly_failures.client, hourly_failures.reason, hourly_failures.machine;

-- activity by hour
SELECT hourly_activity.hour AS bucket, sum(hourly_activity.calls) AS sum_1, sum(hourly_activity.successes) AS sum_2, sum(hourly_activity.answer_ms) AS sum_3, sum(hourly_activity.answer_calls) AS sum_4, sum(hourly_activity.bytes_in) AS sum_5, sum(hourly_activity.bytes_out) AS sum_6, max(hourly_activity.gateway) AS max_1
FROM hourly_activity
WHERE {where} GROUP BY bucket ORDER BY hourly_activity.hour DESC;

-- activity by day
SELECT hourly_activity.hour - hourly_activity.hour % 24 AS bucket, sum(hourly_activity.calls) AS sum_1, sum(hourly_activity.successes) AS sum_2, sum(hourly_activity.answer_ms) AS sum_3, sum(hourly_activity.answer_calls) AS sum_4, sum(hourly_activity.bytes_in) AS sum_5, sum(hourly_activity.bytes_out) AS sum_6, max(hourly_activity.gateway) AS max_1
FROM hourly_activity
WHERE {where} GROUP BY bucket ORDER BY hourly_activity.hour - hourly_activity.hour % 24 DESC;

-- activity by upstream
SELECT hourly_activity.upstream AS bucket, sum(hourly_activity.calls) AS sum_1, sum(hourly_activity.successes) AS sum_2, sum(hourly_activity.answer_ms) AS sum_3, sum(hourly_activity.answer_calls) AS sum_4, sum(hourly_activity.bytes_in) AS sum_5, sum(hourly_activity.bytes_out) AS sum_6, max(hourly_activity.gateway) AS max_1
FROM hourly_activity
WHERE {where} GROUP BY bucket ORDER BY sum(hourly_activity.calls) DESC, hourly_activity.upstream;

-- activity by product
SELECT coalesce(CASE hourly_activity.product WHEN :called_when THEN :called_then END, hourly_activity.product) AS bucket, sum(hourly_activity.calls) AS sum_1, sum(hourly_activity.successes) AS sum_2, sum(hourly_activity.answer_ms) AS sum_3, sum(hourly_activity.answer_calls) AS sum_4, sum(hourly_activity.bytes_in) AS sum_5, sum(hourly_activity.bytes_out) AS sum_6, max(hourly_activity.gateway) AS max_1
FROM hourly_activity
WHERE {where} GROUP BY bucket ORDER BY sum(hourly_activity.calls) DESC, coalesce(CASE hourly_activity.product WHEN :called_when THEN :called_then END, hourly_activity.product);

-- products of activity
SELECT DISTINCT hourly_activity.product
FROM hourly_activity
WHERE hourly_activity.product IS NOT NULL;

-- read clients
SELECT machine_cmids.app, machine_cmids.cmid, machine_cmids.required_count, max(machine_cmids.last_answered) AS max_1
FROM machine_cmids
WHERE machine_cmids.last_answered > :after AND machine_cmids.last_answered <= :to GROUP BY machine_cmids.app, machine_cmids.cmid, machine_cmids.required_count;

-- opaque clients
SELECT machines.machine, machines.last_answered
FROM machines
WHERE machines.cmid IS NULL AND machines.last_answered > :after AND machines.last_answered <= :to;

-- applications
SELECT DISTINCT machines.app
FROM machines;

-- product ids
SELECT DISTINCT machines.act_id
FROM machines
WHERE machines.act_id IS NOT NULL AND {where};

-- product ids without a name
SELECT DISTINCT machines.act_id
FROM machines
WHERE machines.product IS NULL AND machines.act_id IS NOT NULL;

-- recorded products
SELECT machines.act_id, max(machines.product) AS max_1
FROM machines
WHERE machines.act_id IS NOT NULL GROUP BY machines.act_id;

-- machines by product
SELECT coalesce(CASE machines.act_id WHEN :called_when THEN :called_then END, machines.product) AS called, CASE WHEN (coalesce(CASE machines.act_id WHEN :called_when THEN :called_then END, machines.product) IS NULL) THEN machines.act_id END AS unnamed, CASE machines.app WHEN :applications_when THEN :applications_then END AS application, count(DISTINCT machines.machine) AS count_1, sum(CASE WHEN (machines.last_seen > :active_after) THEN 1 ELSE 0 END) AS sum_1, sum(CASE WHEN (machines.virtual_machine = 1) THEN 1 ELSE 0 END) AS sum_2, max(machines.last_seen) AS max_1, count(DISTINCT CASE WHEN (machines.network != 'unknown') THEN machines.network END) AS count_2
FROM machines
WHERE {where} GROUP BY called, unnamed, application;

-- machines by network and product
SELECT coalesce(CASE machines.act_id WHEN :called_when THEN :called_then END, machines.product) AS called, CASE WHEN (coalesce(CASE machines.act_id WHEN :called_when THEN :called_then END, machines.product) IS NULL) THEN machines.act_id END AS unnamed, machines.network, count(DISTINCT machines.machine) AS count_1, sum(CASE WHEN (machines.last_seen > :active_after) THEN 1 ELSE 0 END) AS sum_1, sum(CASE WHEN (machines.virtual_machine = 1) THEN 1 ELSE 0 END) AS sum_2, max(machines.last_seen) AS max_1
FROM machines
WHERE {where} GROUP BY called, unnamed, machines.network;

-- strangers
SELECT strangers.domain, strangers.host, strangers.port, strangers.addresses, strangers.priority, strangers.weight, strangers.first_seen, strangers.last_seen, strangers.gone, strangers.gateway
FROM strangers ORDER BY strangers.gone IS NOT NULL, strangers.last_seen DESC, strangers.domain, strangers.host, strangers.gateway, strangers.port;

-- a stranger
SELECT strangers.host
FROM strangers
 LIMIT 1 OFFSET 0;

-- an hour of calls
SELECT hourly_activity.hour
FROM hourly_activity
 LIMIT 1 OFFSET 0;

-- an hour of a gateway's calls
SELECT hourly_activity.hour
FROM hourly_activity
WHERE hourly_activity.gateway != ''
 LIMIT 1 OFFSET 0;

-- an hour of a gateway's failures
SELECT hourly_failures.hour
FROM hourly_failures
WHERE hourly_failures.client != ''
 LIMIT 1 OFFSET 0;

-- completed machines
SELECT DISTINCT machines.machine
FROM machines
WHERE machines.machine IS NOT NULL AND {where} ORDER BY machines.machine
 LIMIT 100 OFFSET 0;

-- completed upstreams
SELECT DISTINCT machines.upstream
FROM machines
WHERE machines.upstream IS NOT NULL AND {where} ORDER BY machines.upstream
 LIMIT 100 OFFSET 0;

-- completed products
SELECT DISTINCT machines.product
FROM machines
WHERE machines.product IS NOT NULL AND {where} ORDER BY machines.product
 LIMIT 100 OFFSET 0;

-- machines: since
machines.last_seen >= :since;

-- machines: until
machines.last_seen < :until;

-- machines: machine
(machines.machine LIKE :machine ESCAPE '\' = 1 OR machines.address LIKE :machine ESCAPE '\' = 1);

-- machines: machine folded
(lower(machines.machine) LIKE lower(:machine) ESCAPE '\' OR lower(machines.address) LIKE lower(:machine) ESCAPE '\');

-- machines: product
(machines.product LIKE :product ESCAPE '\' = 1 OR machines.act_id IN (__[POSTCOMPILE_product_ids]));

-- machines: product folded
(lower(machines.product) LIKE lower(:product) ESCAPE '\' OR machines.act_id IN (__[POSTCOMPILE_product_ids]));

-- machines: upstream
machines.upstream LIKE :upstream ESCAPE '\' = 1;

-- machines: upstream folded
lower(machines.upstream) LIKE lower(:upstream) ESCAPE '\';

-- machines: networks
machines.network IN (__[POSTCOMPILE_networks]);

-- machines: name
machines.machine LIKE :name ESCAPE '\' = 1;

-- machines: name folded
lower(machines.machine) LIKE lower(:name) ESCAPE '\';

-- machines: product name
machines.product LIKE :product_name ESCAPE '\' = 1;

-- machines: product name folded
lower(machines.product) LIKE lower(:product_name) ESCAPE '\';

-- machines: network
machines.network = :network;

-- machines: silent
machines.last_seen < :silent;

-- machines: success from
machines.last_success >= :success_from;

-- machines: success to
machines.last_success <= :success_to;

-- machine_cmids: since
machine_cmids.last_seen >= :since;

-- machine_cmids: until
machine_cmids.last_seen < :until;

-- machine_cmids: machine
(machine_cmids.machine LIKE :machine ESCAPE '\' = 1 OR machine_cmids.address LIKE :machine ESCAPE '\' = 1);

-- machine_cmids: machine folded
(lower(machine_cmids.machine) LIKE lower(:machine) ESCAPE '\' OR lower(machine_cmids.address) LIKE lower(:machine) ESCAPE '\');

-- hourly_failures: from hour
hourly_failures.hour >= :from_hour;

-- hourly_failures: to hour
hourly_failures.hour <= :to_hour;

-- hourly_failures: machine
(hourly_failures.machine LIKE :machine ESCAPE '\' = 1 OR hourly_failures.client LIKE :machine ESCAPE '\' = 1);

-- hourly_failures: machine folded
(lower(hourly_failures.machine) LIKE lower(:machine) ESCAPE '\' OR lower(hourly_failures.client) LIKE lower(:machine) ESCAPE '\');

-- hourly_failures: upstream
hourly_failures.upstream LIKE :upstream ESCAPE '\' = 1;

-- hourly_failures: upstream folded
lower(hourly_failures.upstream) LIKE lower(:upstream) ESCAPE '\';

-- hourly_failures: networks
hourly_failures.network IN (__[POSTCOMPILE_networks]);

-- hourly_activity: from hour
hourly_activity.hour >= :from_hour;

-- hourly_activity: to hour
hourly_activity.hour <= :to_hour;

-- hourly_activity: upstream
hourly_activity.upstream LIKE :upstream ESCAPE '\' = 1;

-- hourly_activity: upstream folded
lower(hourly_activity.upstream) LIKE lower(:upstream) ESCAPE '\';

-- hourly_activity: product
(hourly_activity.product LIKE :product ESCAPE '\' = 1 OR hourly_activity.product IN (__[POSTCOMPILE_product_ids]));

-- hourly_activity: product folded
(lower(hourly_activity.product) LIKE lower(:product) ESCAPE '\' OR hourly_activity.product IN (__[POSTCOMPILE_product_ids]));

-- records: product
(records.product LIKE :product ESCAPE '\' = 1 OR records.act_id IN (__[POSTCOMPILE_product_ids]));

-- records: product folded
(lower(records.product) LIKE lower(:product) ESCAPE '\' OR records.act_id IN (__[POSTCOMPILE_product_ids]));

-- put a fact
INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- add records
INSERT INTO records (record_id, at, gateway, client, peer, version, upstream, hresult, fault, reason, detail, receive_ms, answer_ms, bytes_in, bytes_out, machine, cmid, app_id, act_id, product, license_status, virtual_machine, minutes_left, required_count, count) VALUES (:record_id, :at, :gateway, :client, :peer, :version, :upstream, :hresult, :fault, :reason, :detail, :receive_ms, :answer_ms, :bytes_in, :bytes_out, :machine, :cmid, :app_id, :act_id, :product, :license_status, :virtual_machine, :minutes_left, :required_count, :count);

-- add records that are missing
INSERT INTO records (record_id, at, gateway, client, peer, version, upstream, hresult, fault, reason, detail, receive_ms, answer_ms, bytes_in, bytes_out, machine, cmid, app_id, act_id, product, license_status, virtual_machine, minutes_left, required_count, count) VALUES (:record_id, :at, :gateway, :client, :peer, :version, :upstream, :hresult, :fault, :reason, :detail, :receive_ms, :answer_ms, :bytes_in, :bytes_out, :machine, :cmid, :app_id, :act_id, :product, :license_status, :virtual_machine, :minutes_left, :required_count, :count) ON CONFLICT (record_id) DO NOTHING;

-- ids of records
SELECT records.record_id
FROM records
WHERE records.record_id IN (__[POSTCOMPILE_record_ids]);

-- id of a record
SELECT records.record_id
FROM records
WHERE records.record_id = :its_id;

-- ids of records between
SELECT records.record_id
FROM records
WHERE records.record_id BETWEEN :first_id AND :last_id
 LIMIT :most OFFSET 0;

-- records after
SELECT records.seq, records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.seq > :after ORDER BY records.seq
 LIMIT :number OFFSET 0;

-- records from one id to another
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id;

-- a record
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.record_id = :its_id;

-- change a record
UPDATE records SET at=:new_at, gateway=:new_gateway, client=:new_client, peer=:new_peer, version=:new_version, upstream=:new_upstream, hresult=:new_hresult, fault=:new_fault, reason=:new_reason, detail=:new_detail, receive_ms=:new_receive_ms, answer_ms=:new_answer_ms, bytes_in=:new_bytes_in, bytes_out=:new_bytes_out, machine=:new_machine, cmid=:new_cmid, app_id=:new_app_id, act_id=:new_act_id, product=:new_product, license_status=:new_license_status, virtual_machine=:new_virtual_machine, minutes_left=:new_minutes_left, required_count=:new_required_count, count=:new_count WHERE records.record_id = :its_id;

-- delete a record
DELETE FROM records WHERE records.record_id = :its_id;

-- places of records of a name
SELECT records.seq
FROM records
WHERE records.seq IN (WITH RECURSIVE blocks(block) AS (
    SELECT max(seq) / 4096 FROM records
    UNION ALL SELECT block - 1 FROM blocks WHERE block > (SELECT min(seq) / 4096 FROM records)
) SELECT found.seq FROM blocks CROSS JOIN records AS found WHERE found.seq / 4096 = blocks.block AND found.machine IS NOT NULL AND found.machine COLLATE NOCASE IN (:its_name) LIMIT 1001);

-- places of records of an address
SELECT records.seq
FROM records
WHERE records.seq IN (WITH RECURSIVE blocks(block) AS (
    SELECT max(seq) / 4096 FROM records
    UNION ALL SELECT block - 1 FROM blocks WHERE block > (SELECT min(seq) / 4096 FROM records)
) SELECT found.seq FROM blocks CROSS JOIN records AS found WHERE found.seq / 4096 = blocks.block AND found.machine IS NULL AND found.client IN (:its_address) LIMIT 1001);

-- records at places
SELECT records.seq, records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.seq IN (__[POSTCOMPILE_seqs]);

-- records of a name, newest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) IN (:its_name) ORDER BY records.record_id DESC, records.seq DESC;

-- records of a name, oldest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) IN (:its_name) ORDER BY records.record_id, records.seq;

-- records of a name, in an hour, newest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) IN (:its_name) AND records.record_id >= :hour_id AND records.record_id < :next_hour_id ORDER BY records.record_id DESC, records.seq DESC;

-- records of a name, in an hour, oldest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) IN (:its_name) AND records.record_id >= :hour_id AND records.record_id < :next_hour_id ORDER BY records.record_id, records.seq;

-- records of any name, newest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) = :its_name ORDER BY records.at DESC, records.seq DESC;

-- records of any name, oldest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) = :its_name ORDER BY records.at, records.seq;

-- records of any name, in an hour, newest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) = :its_name AND records.record_id >= :hour_id AND records.record_id < :next_hour_id ORDER BY records.at DESC, records.seq DESC;

-- records of any name, in an hour, oldest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) = :its_name AND records.record_id >= :hour_id AND records.record_id < :next_hour_id ORDER BY records.at, records.seq;

-- records of an address, newest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NULL AND records.client IN (:its_address) ORDER BY records.record_id DESC, records.seq DESC;

-- records of an address, oldest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NULL AND records.client IN (:its_address) ORDER BY records.record_id, records.seq;

-- records of an address, in an hour, newest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NULL AND records.client IN (:its_address) AND records.record_id >= :hour_id AND records.record_id < :next_hour_id ORDER BY records.record_id DESC, records.seq DESC;

-- records of an address, in an hour, oldest first
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.machine IS NULL AND records.client IN (:its_address) AND records.record_id >= :hour_id AND records.record_id < :next_hour_id ORDER BY records.record_id, records.seq;

-- time of the oldest record
SELECT records.at
FROM records ORDER BY records.record_id
 LIMIT 1 OFFSET 0;

-- least time of a record
SELECT min(records.at) AS min_1
FROM records;

-- time of the oldest event
SELECT min(events.at) AS min_1
FROM events;

-- number of records
SELECT count(*) AS count_1
FROM (SELECT records.seq AS seq
FROM records
 LIMIT :most OFFSET 0) AS anon_1;

-- number of events
SELECT count(*) AS count_1
FROM (SELECT events.seq AS seq
FROM events
 LIMIT :most OFFSET 0) AS anon_1;

-- targets
SELECT forwarding.target
FROM forwarding ORDER BY forwarding.target;

-- forwarded
SELECT min(forwarding.seq) AS min_1
FROM forwarding;

-- latest time of the oldest records
SELECT max(CAST(anon_1.at AS BIGINT)) AS max_1
FROM (SELECT records.at AS at
FROM records
WHERE records.record_id < :before_id AND records.seq <= :to_seq ORDER BY records.record_id
 LIMIT :number OFFSET 0) AS anon_1;

-- delete the oldest records
DELETE FROM records WHERE records.seq IN (SELECT records.seq
FROM records
WHERE records.record_id < :before_id AND records.seq <= :to_seq ORDER BY records.record_id
 LIMIT :number OFFSET 0);

-- delete the oldest events
DELETE FROM events WHERE events.seq IN (SELECT events.seq
FROM events ORDER BY events.at, events.seq
 LIMIT :number OFFSET 0);

-- delete events before
DELETE FROM events WHERE events.at < :before;

-- machines of CMIDs
SELECT machine_cmids.machine
FROM machine_cmids
WHERE machine_cmids.cmid IN (__[POSTCOMPILE_its_names]);

-- places of records with names
SELECT records.seq
FROM records
WHERE records.machine IS NOT NULL AND lower(records.machine) IN (__[POSTCOMPILE_its_names]);

-- places of records without a name from addresses
SELECT records.seq
FROM records
WHERE records.seq IN (WITH RECURSIVE blocks(block) AS (
    SELECT max(seq) / 4096 FROM records
    UNION ALL SELECT block - 1 FROM blocks WHERE block > (SELECT min(seq) / 4096 FROM records)
) SELECT found.seq FROM blocks CROSS JOIN records AS found WHERE found.seq / 4096 = blocks.block AND found.machine IS NULL AND found.client IN (__[POSTCOMPILE_its_names]) LIMIT -1);

-- delete records
DELETE FROM records WHERE records.seq IN (__[POSTCOMPILE_seqs]);

-- delete events with names or CMIDs
DELETE FROM events WHERE events.machine IS NOT NULL AND lower(events.machine) IN (__[POSTCOMPILE_its_names]) OR events.cmid IN (__[POSTCOMPILE_cmid_names]);

-- machines known by addresses
SELECT machines.machine
FROM machines
WHERE machines.machine IN (__[POSTCOMPILE_its_names]) ORDER BY machines.machine
 LIMIT :number OFFSET 0;

-- machines at addresses
SELECT DISTINCT machines.machine
FROM machines
WHERE machines.address IN (__[POSTCOMPILE_its_names]) ORDER BY machines.machine
 LIMIT :number OFFSET 0;

-- machines: add
INSERT INTO machines (machine, app, slot, named, address, network, gateway, upstream, cmid, act_id, product, virtual_machine, first_seen, last_seen, last_success, last_answered, last_status, calls, successes) VALUES (:machine, :app, :slot, :named, :address, :network, :gateway, :upstream, :cmid, :act_id, :product, :virtual_machine, :first_seen, :last_seen, :last_success, :last_answered, :last_status, :calls, :successes) ON CONFLICT (machine, app, slot) DO UPDATE SET named = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.named ELSE machines.named END, address = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.address ELSE machines.address END, gateway = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.gateway ELSE machines.gateway END, upstream = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.upstream ELSE machines.upstream END, cmid = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.cmid ELSE machines.cmid END, act_id = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.act_id ELSE machines.act_id END, product = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.product ELSE machines.product END, virtual_machine = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.virtual_machine ELSE machines.virtual_machine END, first_seen = CASE WHEN (excluded.first_seen < machines.first_seen) THEN excluded.first_seen ELSE machines.first_seen END, last_seen = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.last_seen ELSE machines.last_seen END, last_success = CASE WHEN (machines.last_success IS NULL) THEN excluded.last_success WHEN (excluded.last_success > machines.last_success) THEN excluded.last_success ELSE machines.last_success END, last_answered = CASE WHEN (machines.last_answered IS NULL) THEN excluded.last_answered WHEN (excluded.last_answered > machines.last_answered) THEN excluded.last_answered ELSE machines.last_answered END, last_status = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.last_status ELSE machines.last_status END, calls = (machines.calls + excluded.calls), successes = (machines.successes + excluded.successes) WHERE machines.network IS excluded.network;

-- machines: row
SELECT machines.machine, machines.app, machines.slot, machines.named, machines.address, machines.network, machines.gateway, machines.upstream, machines.cmid, machines.act_id, machines.product, machines.virtual_machine, machines.first_seen, machines.last_seen, machines.last_success, machines.last_answered, machines.last_status, machines.calls, machines.successes
FROM machines
WHERE machines.machine = :key_machine AND machines.app = :key_app AND machines.slot = :key_slot;

-- machines: remove row
DELETE FROM machines WHERE machines.machine = :key_machine AND machines.app = :key_app AND machines.slot = :key_slot;

-- machines: change row
UPDATE machines SET named=:new_named, address=:new_address, network=:new_network, gateway=:new_gateway, upstream=:new_upstream, cmid=:new_cmid, act_id=:new_act_id, product=:new_product, virtual_machine=:new_virtual_machine, first_seen=:new_first_seen, last_seen=:new_last_seen, last_success=:new_last_success, last_answered=:new_last_answered, last_status=:new_last_status, calls=:new_calls, successes=:new_successes WHERE machines.machine = :key_machine AND machines.app = :key_app AND machines.slot = :key_slot;

-- machines: all
SELECT machines.machine, machines.app, machines.slot, machines.named, machines.address, machines.network, machines.gateway, machines.upstream, machines.cmid, machines.act_id, machines.product, machines.virtual_machine, machines.first_seen, machines.last_seen, machines.last_success, machines.last_answered, machines.last_status, machines.calls, machines.successes
FROM machines ORDER BY machines.machine, machines.app, machines.slot;

-- machines: delete before
DELETE FROM machines WHERE machines.last_seen < :before;

-- machines: last of the oldest
SELECT max(anon_1.time) AS max_1
FROM (SELECT machines.last_seen AS time
FROM machines
WHERE machines.last_seen < :before ORDER BY time
 LIMIT :number OFFSET 0) AS anon_1;

-- machines: delete until
DELETE FROM machines WHERE machines.last_seen < :before AND machines.last_seen <= :until;

-- machines: add the rest
INSERT INTO machines (machine, app, slot, named, address, network, gateway, upstream, cmid, act_id, product, virtual_machine, first_seen, last_seen, last_success, last_answered, last_status, calls, successes) VALUES (:machine, :app, :slot, :named, :address, :network, :gateway, :upstream, :cmid, :act_id, :product, :virtual_machine, :first_seen, :last_seen, :last_success, :last_answered, :last_status, :calls, :successes) ON CONFLICT (machine, app, slot) DO UPDATE SET named = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.named ELSE machines.named END, address = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.address ELSE machines.address END, network = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.network ELSE machines.network END, gateway = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.gateway ELSE machines.gateway END, upstream = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.upstream ELSE machines.upstream END, cmid = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.cmid ELSE machines.cmid END, act_id = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.act_id ELSE machines.act_id END, product = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.product ELSE machines.product END, virtual_machine = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.virtual_machine ELSE machines.virtual_machine END, first_seen = CASE WHEN (excluded.first_seen < machines.first_seen) THEN excluded.first_seen ELSE machines.first_seen END, last_seen = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.last_seen ELSE machines.last_seen END, last_success = CASE WHEN (machines.last_success IS NULL) THEN excluded.last_success WHEN (excluded.last_success > machines.last_success) THEN excluded.last_success ELSE machines.last_success END, last_answered = CASE WHEN (machines.last_answered IS NULL) THEN excluded.last_answered WHEN (excluded.last_answered > machines.last_answered) THEN excluded.last_answered ELSE machines.last_answered END, last_status = CASE WHEN (excluded.last_seen >= machines.last_seen) THEN excluded.last_status ELSE machines.last_status END, calls = (machines.calls + excluded.calls), successes = (machines.successes + excluded.successes) WHERE machines.network IS NOT excluded.network;

-- machines: forget
DELETE FROM machines WHERE machines.machine IN (__[POSTCOMPILE_its_names]);

-- machine_cmids: add
INSERT INTO machine_cmids (machine, app, cmid, address, required_count, first_seen, last_seen, last_answered, calls) VALUES (:machine, :app, :cmid, :address, :required_count, :first_seen, :last_seen, :last_answered, :calls) ON CONFLICT (machine, app, cmid) DO UPDATE SET address = CASE WHEN (excluded.last_seen >= machine_cmids.last_seen) THEN excluded.address ELSE machine_cmids.address END, required_count = CASE WHEN (excluded.last_seen >= machine_cmids.last_seen) THEN excluded.required_count ELSE machine_cmids.required_count END, first_seen = CASE WHEN (excluded.first_seen < machine_cmids.first_seen) THEN excluded.first_seen ELSE machine_cmids.first_seen END, last_seen = CASE WHEN (excluded.last_seen >= machine_cmids.last_seen) THEN excluded.last_seen ELSE machine_cmids.last_seen END, last_answered = CASE WHEN (machine_cmids.last_answered IS NULL) THEN excluded.last_answered WHEN (excluded.last_answered > machine_cmids.last_answered) THEN excluded.last_answered ELSE machine_cmids.last_answered END, calls = (machine_cmids.calls + excluded.calls);

-- machine_cmids: row
SELECT machine_cmids.machine, machine_cmids.app, machine_cmids.cmid, machine_cmids.address, machine_cmids.required_count, machine_cmids.first_seen, machine_cmids.last_seen, machine_cmids.last_answered, machine_cmids.calls
FROM machine_cmids
WHERE machine_cmids.machine = :key_machine AND machine_cmids.app = :key_app AND machine_cmids.cmid = :key_cmid;

-- machine_cmids: remove row
DELETE FROM machine_cmids WHERE machine_cmids.machine = :key_machine AND machine_cmids.app = :key_app AND machine_cmids.cmid = :key_cmid;

-- machine_cmids: change row
UPDATE machine_cmids SET address=:new_address, required_count=:new_required_count, first_seen=:new_first_seen, last_seen=:new_last_seen, last_answered=:new_last_answered, calls=:new_calls WHERE machine_cmids.machine = :key_machine AND machine_cmids.app = :key_app AND machine_cmids.cmid = :key_cmid;

-- machine_cmids: all
SELECT machine_cmids.machine, machine_cmids.app, machine_cmids.cmid, machine_cmids.address, machine_cmids.required_count, machine_cmids.first_seen, machine_cmids.last_seen, machine_cmids.last_answered, machine_cmids.calls
FROM machine_cmids ORDER BY machine_cmids.machine, machine_cmids.app, machine_cmids.cmid;

-- machine_cmids: delete before
DELETE FROM machine_cmids WHERE machine_cmids.last_seen < :before;

-- machine_cmids: last of the oldest
SELECT max(anon_1.time) AS max_1
FROM (SELECT machine_cmids.last_seen AS time
FROM machine_cmids
WHERE machine_cmids.last_seen < :before ORDER BY time
 LIMIT :number OFFSET 0) AS anon_1;

-- machine_cmids: delete until
DELETE FROM machine_cmids WHERE machine_cmids.last_seen < :before AND machine_cmids.last_seen <= :until;

-- machine_cmids: forget
DELETE FROM machine_cmids WHERE machine_cmids.machine IN (__[POSTCOMPILE_its_names]);

-- hourly_activity: add
INSERT INTO hourly_activity (hour, gateway, upstream, product, calls, successes, bytes_in, bytes_out, answer_ms, answer_calls) VALUES (:hour, :gateway, :upstream, :product, :calls, :successes, :bytes_in, :bytes_out, :answer_ms, :answer_calls) ON CONFLICT (hour, gateway, upstream, product) DO UPDATE SET calls = (hourly_activity.calls + excluded.calls), successes = (hourly_activity.successes + excluded.successes), bytes_in = (hourly_activity.bytes_in + excluded.bytes_in), bytes_out = (hourly_activity.bytes_out + excluded.bytes_out), answer_ms = (hourly_activity.answer_ms + excluded.answer_ms), answer_calls = (hourly_activity.answer_calls + excluded.answer_calls);

-- hourly_activity: row
SELECT hourly_activity.hour, hourly_activity.gateway, hourly_activity.upstream, hourly_activity.product, hourly_activity.calls, hourly_activity.successes, hourly_activity.bytes_in, hourly_activity.bytes_out, hourly_activity.answer_ms, hourly_activity.answer_calls
FROM hourly_activity
WHERE hourly_activity.hour = :key_hour AND hourly_activity.gateway = :key_gateway AND hourly_activity.upstream = :key_upstream AND hourly_activity.product = :key_product;

-- hourly_activity: remove row
DELETE FROM hourly_activity WHERE hourly_activity.hour = :key_hour AND hourly_activity.gateway = :key_gateway AND hourly_activity.upstream = :key_upstream AND hourly_activity.product = :key_product;

-- hourly_activity: change row
UPDATE hourly_activity SET calls=:new_calls, successes=:new_successes, bytes_in=:new_bytes_in, bytes_out=:new_bytes_out, answer_ms=:new_answer_ms, answer_calls=:new_answer_calls WHERE hourly_activity.hour = :key_hour AND hourly_activity.gateway = :key_gateway AND hourly_activity.upstream = :key_upstream AND hourly_activity.product = :key_product;

-- hourly_activity: all
SELECT hourly_activity.hour, hourly_activity.gateway, hourly_activity.upstream, hourly_activity.product, hourly_activity.calls, hourly_activity.successes, hourly_activity.bytes_in, hourly_activity.bytes_out, hourly_activity.answer_ms, hourly_activity.answer_calls
FROM hourly_activity ORDER BY hourly_activity.hour, hourly_activity.gateway, hourly_activity.upstream, hourly_activity.product;

-- hourly_activity: delete before
DELETE FROM hourly_activity WHERE hourly_activity.hour < :before;

-- hourly_activity: last of the oldest
SELECT max(anon_1.time) AS max_1
FROM (SELECT hourly_activity.hour AS time
FROM hourly_activity
WHERE hourly_activity.hour < :before ORDER BY time
 LIMIT :number OFFSET 0) AS anon_1;

-- hourly_activity: delete until
DELETE FROM hourly_activity WHERE hourly_activity.hour < :before AND hourly_activity.hour <= :until;

-- hourly_activity: calls by hour
SELECT hourly_activity.hour, sum(hourly_activity.calls) AS sum_1
FROM hourly_activity
WHERE hourly_activity.hour >= :first GROUP BY hourly_activity.hour;

-- hourly_failures: add
INSERT INTO hourly_failures (hour, client, reason, kind, status, machine, network, upstream, first_at, last_at, calls) VALUES (:hour, :client, :reason, :kind, :status, :machine, :network, :upstream, :first_at, :last_at, :calls) ON CONFLICT (hour, client, reason, kind, status, machine) DO UPDATE SET network = CASE WHEN (excluded.last_at >= hourly_failures.last_at) THEN excluded.network ELSE hourly_failures.network END, upstream = CASE WHEN (excluded.last_at >= hourly_failures.last_at) THEN excluded.upstream ELSE hourly_failures.upstream END, first_at = CASE WHEN (excluded.first_at < hourly_failures.first_at) THEN excluded.first_at ELSE hourly_failures.first_at END, last_at = CASE WHEN (excluded.last_at >= hourly_failures.last_at) THEN excluded.last_at ELSE hourly_failures.last_at END, calls = (hourly_failures.calls + excluded.calls);

-- hourly_failures: row
SELECT hourly_failures.hour, hourly_failures.client, hourly_failures.reason, hourly_failures.kind, hourly_failures.status, hourly_failures.machine, hourly_failures.network, hourly_failures.upstream, hourly_failures.first_at, hourly_failures.last_at, hourly_failures.calls
FROM hourly_failures
WHERE hourly_failures.hour = :key_hour AND hourly_failures.client = :key_client AND hourly_failures.reason = :key_reason AND hourly_failures.kind = :key_kind AND hourly_failures.status = :key_status AND hourly_failures.machine = :key_machine;

-- hourly_failures: remove row
DELETE FROM hourly_failures WHERE hourly_failures.hour = :key_hour AND hourly_failures.client = :key_client AND hourly_failures.reason = :key_reason AND hourly_failures.kind = :key_kind AND hourly_failures.status = :key_status AND hourly_failures.machine = :key_machine;

-- hourly_failures: change row
UPDATE hourly_failures SET network=:new_network, upstream=:new_upstream, first_at=:new_first_at, last_at=:new_last_at, calls=:new_calls WHERE hourly_failures.hour = :key_hour AND hourly_failures.client = :key_client AND hourly_failures.reason = :key_reason AND hourly_failures.kind = :key_kind AND hourly_failures.status = :key_status AND hourly_failures.machine = :key_machine;

-- hourly_failures: all
SELECT hourly_failures.hour, hourly_failures.client, hourly_failures.reason, hourly_failures.kind, hourly_failures.status, hourly_failures.machine, hourly_failures.network, hourly_failures.upstream, hourly_failures.first_at, hourly_failures.last_at, hourly_failures.calls
FROM hourly_failures ORDER BY hourly_failures.hour, hourly_failures.client, hourly_failures.reason, hourly_failures.kind, hourly_failures.status, hourly_failures.machine;

-- hourly_failures: delete before
DELETE FROM hourly_failures WHERE hourly_failures.hour < :before;

-- hourly_failures: last of the oldest
SELECT max(anon_1.time) AS max_1
FROM (SELECT hourly_failures.hour AS time
FROM hourly_failures
WHERE hourly_failures.hour < :before ORDER BY time
 LIMIT :number OFFSET 0) AS anon_1;

-- hourly_failures: delete until
DELETE FROM hourly_failures WHERE hourly_failures.hour < :before AND hourly_failures.hour <= :until;

-- hourly_failures: calls by hour
SELECT hourly_failures.hour, sum(hourly_failures.calls) AS sum_1
FROM hourly_failures
WHERE hourly_failures.hour >= :first GROUP BY hourly_failures.hour;

-- hourly_failures: forget
DELETE FROM hourly_failures WHERE hourly_failures.machine IS NOT NULL AND lower(hourly_failures.machine) IN (__[POSTCOMPILE_its_names]) OR hourly_failures.client IN (__[POSTCOMPILE_its_names]) AND hourly_failures.machine = '';

-- an event
SELECT events.seq
FROM events
 LIMIT 1 OFFSET 0;

-- events alike
SELECT events.fingerprint, events.computer, events.event_record_id, events.at, events.record_id
FROM events
WHERE events.fingerprint BETWEEN :low0 AND :high0 OR events.fingerprint BETWEEN :low1 AND :high1 OR events.fingerprint BETWEEN :low2 AND :high2 OR events.fingerprint BETWEEN :low3 AND :high3 OR events.fingerprint BETWEEN :low4 AND :high4 OR events.fingerprint BETWEEN :low5 AND :high5 OR events.fingerprint BETWEEN :low6 AND :high6 OR events.fingerprint BETWEEN :low7 AND :high7 OR events.fingerprint BETWEEN :low8 AND :high8 OR events.fingerprint BETWEEN :low9 AND :high9 OR events.fingerprint BETWEEN :low10 AND :high10 OR events.fingerprint BETWEEN :low11 AND :high11 OR events.fingerprint BETWEEN :low12 AND :high12 OR events.fingerprint BETWEEN :low13 AND :high13 OR events.fingerprint BETWEEN :low14 AND :high14 OR events.fingerprint BETWEEN :low15 AND :high15 OR events.fingerprint BETWEEN :low16 AND :high16 OR events.fingerprint BETWEEN :low17 AND :high17 OR events.fingerprint BETWEEN :low18 AND :high18 OR events.fingerprint BETWEEN :low19 AND :high19 OR events.fingerprint BETWEEN :low20 AND :high20 OR events.fingerprint BETWEEN :low21 AND :high21 OR events.fingerprint BETWEEN :low22 AND :high22 OR events.fingerprint BETWEEN :low23 AND :high23 OR events.fingerprint BETWEEN :low24 AND :high24 OR events.fingerprint BETWEEN :low25 AND :high25 OR events.fingerprint BETWEEN :low26 AND :high26 OR events.fingerprint BETWEEN :low27 AND :high27 OR events.fingerprint BETWEEN :low28 AND :high28 OR events.fingerprint BETWEEN :low29 AND :high29 OR events.fingerprint BETWEEN :low30 AND :high30 OR events.fingerprint BETWEEN :low31 AND :high31 OR events.fingerprint BETWEEN :low32 AND :high32 OR events.fingerprint BETWEEN :low33 AND :high33 OR events.fingerprint BETWEEN :low34 AND :high34 OR events.fingerprint BETWEEN :low35 AND :high35 OR events.fingerprint BETWEEN :low36 AND :high36 OR events.fingerprint BETWEEN :low37 AND :high37 OR events.fingerprint BETWEEN :low38 AND :high38 OR events.fingerprint BETWEEN :low39 AND :high39 OR events.fingerprint BETWEEN :low40 AND :high40 OR events.fingerprint BETWEEN :low41 AND :high41 OR events.fingerprint BETWEEN :low42 AND :high42 OR events.fingerprint BETWEEN :low43 AND :high43 OR events.fingerprint BETWEEN :low44 AND :high44 OR events.fingerprint BETWEEN :low45 AND :high45 OR events.fingerprint BETWEEN :low46 AND :high46 OR events.fingerprint BETWEEN :low47 AND :high47 OR events.fingerprint BETWEEN :low48 AND :high48 OR events.fingerprint BETWEEN :low49 AND :high49;

-- the same events
SELECT events.fingerprint, events.computer, events.event_record_id, events.at, events.record_id
FROM events
WHERE events.fingerprint IN (:low0, :low1, :low2, :low3, :low4, :low5, :low6, :low7, :low8, :low9, :low10, :low11, :low12, :low13, :low14, :low15, :low16, :low17, :low18, :low19, :low20, :low21, :low22, :low23, :low24, :low25, :low26, :low27, :low28, :low29, :low30, :low31, :low32, :low33, :low34, :low35, :low36, :low37, :low38, :low39, :low40, :low41, :low42, :low43, :low44, :low45, :low46, :low47, :low48, :low49);

-- add events
INSERT INTO events (fingerprint, event_id, computer, event_record_id, at, hresult, machine, cmid, act_id, license_status, virtual_machine, minutes_left, required_count, count, client_time, target, record_id) VALUES (:fingerprint, :event_id, :computer, :event_record_id, :at, :hresult, :machine, :cmid, :act_id, :license_status, :virtual_machine, :minutes_left, :required_count, :count, :client_time, :target, :record_id) ON CONFLICT (fingerprint) DO NOTHING;

-- complete an event
UPDATE events SET computer=:new_computer, event_record_id=:new_event_record_id WHERE events.fingerprint = :this;

-- complete a client's event
UPDATE events SET computer=:new_computer, event_record_id=:new_event_record_id, machine=:new_machine WHERE events.fingerprint = :this;

-- joined events
SELECT events.fingerprint, events.at, events.computer, events.record_id
FROM events
WHERE events.fingerprint IN (__[POSTCOMPILE_fingerprints]);

-- two unnamed records
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id AND records.hresult = :status AND records.gateway != '' AND records.version IS NOT NULL AND records.act_id IS NULL
 LIMIT 2 OFFSET 0;

-- times of unnamed records
SELECT records.at
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id AND records.hresult = :status AND records.gateway != '' AND records.version IS NOT NULL AND records.act_id IS NULL
 LIMIT 500 OFFSET 0;

-- two unnamed records from addresses
SELECT records.record_id, records.at, records.gateway, records.client, records.peer, records.version, records.upstream, records.hresult, records.fault, records.reason, records.detail, records.receive_ms, records.answer_ms, records.bytes_in, records.bytes_out, records.machine, records.cmid, records.app_id, records.act_id, records.product, records.license_status, records.virtual_machine, records.minutes_left, records.required_count, records.count
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id AND records.hresult = :status AND records.gateway != '' AND records.version IS NOT NULL AND records.act_id IS NULL AND records.client IN (__[POSTCOMPILE_addresses]) ORDER BY abs(records.at - :event_at), records.seq
 LIMIT 2 OFFSET 0;

-- any unnamed record
SELECT records.seq
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id AND records.version IS NOT NULL AND records.act_id IS NULL
 LIMIT 1 OFFSET 0;

-- a readable record
SELECT records.record_id
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id AND records.hresult = :status AND records.gateway != '' AND records.cmid = :cmid AND records.act_id = :act_id AND lower(records.machine) = :machine AND NOT (EXISTS (SELECT *
FROM events
WHERE events.record_id = records.record_id)) ORDER BY abs(records.at - :event_at), records.seq
 LIMIT 1 OFFSET 0;

-- other events without a record
SELECT count(*) AS count_1
FROM events
WHERE events.event_id = 12290 AND events.record_id IS NULL AND events.hresult = :status AND events.at BETWEEN :first_at AND :last_at AND events.fingerprint != :this;

-- other events with their own record
SELECT count(*) AS count_1
FROM records JOIN events ON events.record_id = records.record_id
WHERE records.record_id >= :first_other AND records.record_id < :next_other AND records.gateway = '' AND records.hresult = :status AND events.fingerprint != :this;

-- note an event's record
UPDATE events SET record_id=:its_id WHERE events.fingerprint = :this;

-- add an event's facts
UPDATE records SET machine=:new_machine, cmid=:new_cmid, act_id=:new_act_id, license_status=:new_license_status, virtual_machine=:new_virtual_machine, minutes_left=:new_minutes_left, required_count=:new_required_count WHERE records.record_id = :its_id;

-- forget an event's own record
UPDATE events SET record_id=NULL WHERE events.fingerprint = :this AND events.record_id = :its_id;

-- an hour of gateways' calls
SELECT hourly_activity.hour
FROM hourly_activity
WHERE hourly_activity.hour BETWEEN :first AND :last AND hourly_activity.gateway != ''
 LIMIT 1 OFFSET 0;

-- times of gateways' calls
SELECT records.at
FROM records
WHERE records.record_id >= :first_id AND records.record_id < :next_id AND records.gateway != ''
 LIMIT :most OFFSET 0;
