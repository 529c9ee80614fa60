"""What a page's reader already has: the KMS hosts, files and programs that the page assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.page import ROOT

#: Commands that are never typed, and why: they would change the real machine, or need one that is not here.
NOT_TYPED: Mapping[str, str] = {
    r"^apt-get |^make deb|^make try-debian": "installs packages; packaging/deb/try-on-debian does",
    r"^make test": "is what runs this test",
    r"^make (site|bench|docs)": "builds the project itself",
    r"^kmstwist demo": "tests/cli/test_demo.py runs it",
}

#: The service as its unit runs it, where a page says systemctl.
_SYSTEMCTL = """#!/bin/sh
# start, restart, stop: the service as its unit runs it.
pid=/run/kmstwist.pid
stop() { [ ! -s $pid ] || { kill "$(cat $pid)"; while kill -0 "$(cat $pid)" 2>/dev/null; do sleep 0.1; done; }; }
case "$1" in
stop) stop ;;
start | restart)
    stop
    mkdir -p /var/log/kmstwist
    twistd --pidfile=$pid --logfile=/var/log/kmstwist/kmstwist.log kms --config=/etc/kmstwist/kmstwist.toml \\
        --state-dir=/var/lib/kmstwist
    for _ in $(seq 600); do grep -qs ' listening ' /var/log/kmstwist/kmstwist.log && break; sleep 0.1; done
    ;;
reload) kill -HUP "$(cat $pid)" ;;
esac
"""


#: A receiver of messages for the page's first target: it takes whatever is posted to it.
_RECEIVER = """#!/usr/bin/python3
from http.server import BaseHTTPRequestHandler, HTTPServer
class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", 8099), Receiver).serve_forever()
"""

#: A PostgreSQL of the page's own, with the roles and the database that the page makes. It refuses to run as root.
_DATABASE = f"""#!/bin/sh -e
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
own="unshare --user --map-user=1000 --map-group=1000"
mkdir /run/db && cd /run/db
$own $programs/initdb -D data -U postgres -A trust --no-sync -E UTF8 >/dev/null
options="-c listen_addresses=127.0.0.1 -c unix_socket_directories=/run/db -c fsync=off"
options="$options -c external_pid_file=/run/db.pid"
$own $programs/pg_ctl -D data -w -l log -o "$options" start >/dev/null
sed -n '/^```sql/,/^```/p' {ROOT}/docs/central-store.md | grep -v '^```' |
    psql -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres postgres
"""


@dataclass(frozen=True)
class Stage:
    """A page's stage. `before` is typed first; a line with twistd starts a server that runs until the page ends."""

    before: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    files: Mapping[str, str | Path] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    #: Where the page's TOML belongs, and how many of its blocks do; further ones are about something else.
    toml: str | None = None
    toml_blocks: int = 0
    #: Replacements in what is typed and shown, for machines on the page that do not exist here.
    instead: Mapping[str, str] = field(default_factory=dict)
    #: Commands (patterns) that are not typed, each with its reason.
    not_typed: Mapping[str, str] = field(default_factory=dict)
    #: Commands (patterns) that may fail here, each with its reason.
    may_fail: Mapping[str, str] = field(default_factory=dict)
    #: Commands (patterns) whose output is not compared, each with its reason.
    own_output: Mapping[str, str] = field(default_factory=dict)
    #: What happens elsewhere just before a command (a pattern).
    first: Mapping[str, str] = field(default_factory=dict)
    #: Programs that the page needs, named as in the tests' marker `needs`.
    needs: tuple[str, ...] = ()
    #: Why the page is not typed; None if it is.
    skip: str | None = None


_KMS1 = "10.0.0.11 kms1.corp.example"
_KMS2 = "10.0.0.12 kms2.corp.example"
_HOST_KMS1 = "ip netns exec hosts twistd -n kms --listen 10.0.0.11:1688 --state-dir /var/lib/kms1"
_CONFIG = "/etc/kmstwist/kmstwist.toml"
_READER = "postgresql://kmstwist_reader@db.example.com/kmstwist"
_CLOCK = {r"^kmstwist doctor": "says that nothing keeps the clock of a machine in a container"}
_CLIENTS = (
    'kmstwist lab activate --product "Windows 11 / 10 Enterprise" --count 3 --lab-key /var/lib/kms1/lab.key '
    "--host 127.0.0.1 --timeout 60"
)
_NO_USER = {"-o kmstwist -g kmstwist": "", "root:kmstwist": "root:root"}

STAGES: Mapping[str, Stage] = {
    "README": Stage(not_typed={r"^make run +#": "is typed further down"}, may_fail=_CLOCK),
    "docs/audit": Stage(
        before=(
            "mkdir /backup || true",
            "twistd -n kms --web 127.0.0.1:9688",
            'kmstwist lab activate --product "Windows 11 / 10 Enterprise" --count 30',
        ),
        tools={"mail": "#!/bin/sh\n"},
        instead={"forget pc1.example.com": "forget --yes LAB-PC-0001", "/backup/": "/var/backups/"},
        not_typed={r"^kmstwist events import": "tests/audit/test_event_shapes.py imports files of each kind"},
        own_output={r"^kmstwist report (expiring|count)": "the rows are those of the reader's own machines"},
    ),
    "docs/backup": Stage(
        hosts=(_KMS1,),
        files={"/etc/default/kmstwist": ROOT / "etc/default/kmstwist", _CONFIG: ROOT / "etc/kmstwist/kmstwist.toml"},
        tools={"systemctl": _SYSTEMCTL},
        before=("systemctl start kmstwist", 'kmstwist lab activate --product "win10 pro"'),
        instead={**_NO_USER, "/var/lib/kmstwist/audit.sqlite": "/var/lib/kmstwist/lab-audit.sqlite"},
    ),
    "docs/central-store": Stage(
        needs=("postgres",),
        hosts=("127.0.0.1 db.example.com",),
        tools={"database": _DATABASE},
        files={
            _CONFIG: '[audit]\ngateway = "gateway1"\nforward_to = "postgresql://kmstwist@db.example.com/kmstwist"\n'
            '[audit.privacy]\nmachine = "hash"\n'
        },
        before=(
            "database",
            f"twistd -n kms --config {_CONFIG}",
            'kmstwist lab activate --product "win10 pro" --count 3',
            # Until it is there, where the names are hashed.
            f"until kmstwist report clients --store {_READER} | grep -q h:; do sleep 0.2; done",
        ),
        instead={
            "/root/": "/var/backups/",
            "salt import": "salt import --salt-file other.salt",
            "forget pc1.example.com": "forget --yes LAB-PC-0001",
        },
    ),
    "docs/containers": Stage(skip="packaging/container/try builds and runs the images"),
    "docs/dns": Stage(
        tools={"tsig-keygen": '#!/bin/sh\necho "key gateway { algorithm hmac-sha256; secret LAB; };"\n'},
        before=("twistd -n kms",),
        not_typed={
            r"^kmstwist dns publish": "tests/discovery/test_update_bind.py publishes in a real BIND",
            r"^kmstwist discover": "tests/cli/test_discover.py asks a real BIND",
            r"^/usr/lib/kmstwist/bin/python3 -m pip ": "installs into an environment that is not here",
        },
    ),
    "docs/first-gateway": Stage(
        hosts=(_KMS1,),
        before=(_HOST_KMS1,),
        tools={"systemctl": _SYSTEMCTL},
        toml=_CONFIG,
        toml_blocks=1,
        may_fail=_CLOCK,
        first={r"^kmstwist log -f": _CLIENTS},
    ),
    "docs/firewall": Stage(skip="tests/etc/test_docs.py checks its rules with nft; the rest changes a real firewall"),
    "docs/fleet": Stage(
        files={
            "my.toml": 'name = "LAB"\ndays = 3\n[[site]]\nname = "branch"\nsrv = [{ host = "kms1" }]\n'
            '[[host]]\nname = "kms1"\nactivation_interval = 5\n'
            '[[machines]]\nname = "PC"\ncount = 3\nproducts = ["Windows 11 / 10 Enterprise"]\nsite = "brnach"\n'
        },
        own_output={r"host-away-7-months": "its lines wrap where its numbers end"},
        not_typed={r"--wire": "tests/system/test_fleet_on_wire.py runs a fleet on the wire"},
    ),
    "docs/gateway": Stage(
        hosts=(_KMS1, _KMS2),
        before=(_HOST_KMS1,),
        files={
            "bad.toml": '[gateway]\npolicy = "sticky"\ndeadlin = 3\n[admission]\nalow = ["10.0.0.0/8"]\n'
            'deny = ["10.66.0.1/16"]\n'
        },
        toml=_CONFIG,
        toml_blocks=1,
        instead={"office": "kms1"},
        own_output={
            r"^kmstwist config reload": "the sections are those that the reader changed",
            r"^kmstwist gateway status": "a host that is away is found out in its own time",
        },
        not_typed={r"--workers 4": "the port is the first server's"},
        # The page shows a gateway that has been there for a while: its second host has been tried.
        first={r"^kmstwist upstreams list": "until kmstwist upstreams list | grep -q 'connection refused'; do :; done"},
    ),
    "docs/haproxy": Stage(before=("twistd -n kms",)),
    "docs/install": Stage(skip="packaging/deb/try-on-debian and tests/etc install it"),
    "docs/lab": Stage(not_typed={r"ansible-playbook": "tests/system/test_lab_shim.py runs the play"}),
    "docs/monitoring": Stage(
        hosts=(_KMS1, _KMS2),
        before=(
            _HOST_KMS1,
            "twistd -n kms --port 1689 --upstream kms1.corp.example --upstream kms2.corp.example --web 127.0.0.1:9688",
            "sleep 3",
        ),
        instead={"web password prometheus": "web password prometheus --password LAB-word", **_NO_USER},
    ),
    "docs/ansible": Stage(skip="tests/etc/test_ansible.py runs the roles; the page's inventory is the reader's"),
    "docs/notify": Stage(
        tools={"systemctl": "#!/bin/sh\n", "receiver": _RECEIVER},
        before=("receiver >/dev/null 2>&1 & echo $! > /run/receiver.pid",),
        toml=_CONFIG,
        toml_blocks=1,
        instead={
            **_NO_USER,
            "mailtos://kmstwist:PASSWORD@mail.example.com?to=admin@example.com": "json://127.0.0.1:8099/",
            "ntfys://ntfy.example.com/kms": "ntfy://127.0.0.1:9/kms",
            "https://ntfy.example.com": "http://127.0.0.1:9",
            "(mailtos)": "(json)",
            "(ntfys)": "(ntfy)",
        },
        may_fail={r"^kmstwist notify test": "the page shows a target that could not be told"},
    ),
    "docs/rpc": Stage(
        skip="fuzzers, benchmarks and other programs, each of minutes; tests/system runs those that check"
    ),
    "docs/segmented-networks": Stage(
        toml=_CONFIG,
        toml_blocks=1,
        instead={"web password monitor": "web password monitor --password LAB-word", **_NO_USER},
    ),
    "docs/set-up-clients": Stage(),
    "docs/several-hosts": Stage(
        before=("twistd -n kms --listen 127.0.0.1:1688 --upstream 127.0.0.9:1",),
        instead={"windows-keys": "127.0.0.9:1"},
    ),
    "docs/site": Stage(
        before=("twistd -n kms --web 127.0.0.1:9688", 'kmstwist lab activate --product "win10 pro"'),
        instead={"pc1.example.com": "LAB-PC-0001"},
        own_output={r"^curl": "the rows are those of the reader's own machines"},
    ),
    "docs/troubleshooting": Stage(
        files={"/var/log/kmstwist/kmstwist.log": "2026-11-22T07:56:35.215Z info stopped conversations=1\n"},
    ),
    "docs/upgrade": Stage(
        tools={"systemctl": _SYSTEMCTL},
        files={_CONFIG: ROOT / "etc/kmstwist/kmstwist.toml"},
        before=("systemctl start kmstwist", 'kmstwist lab activate --product "win10 pro"'),
        instead={
            **_NO_USER,
            "/root/": "/var/backups/",
            "/var/lib/kmstwist/audit.sqlite": "/var/lib/kmstwist/lab-audit.sqlite",
        },
        may_fail=_CLOCK,
    ),
    "docs/windows-events": Stage(
        before=(f"PYTHONPATH={ROOT} python3 -m tests.docs.exports",),
        not_typed={
            r"^kmstwist events watch": "tests/cli/test_events_command.py watches a folder",
            r"^kmstwist events listen": "tests/collecting/test_service.py listens to rsyslog",
        },
        may_fail={r"kms1\.xml": "the status says that an event is broken"},
    ),
}
