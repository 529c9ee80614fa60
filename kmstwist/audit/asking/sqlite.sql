-- `statements` and `conditions` in SQLite's SQL. Written by `python -m kmstwist.audit.asking.generate`.

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
