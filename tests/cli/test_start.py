"""Commands that start fast: their line in the list of commands, and their imports.

A timing would say more of the machine than of the program, so what is held is what costs the time: modules.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from kmstwist.audit.central.carried_salt import export_salt
from kmstwist.audit.engine import open_engine
from kmstwist.audit.plain.start_check import is_ready
from kmstwist.audit.privacy import load_salt
from kmstwist.audit.reports.subjects import SUMMARIES
from kmstwist.audit.store import insert_batch
from kmstwist.cli.lab.lab import lab
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.main import kmstwist
from kmstwist.lab.keys import KEY_FILE_NAME, LabKey
from tests.audit.exports import as_xml, request
from tests.audit.importing import AT
from tests.audit.making import START, known
from tests.audit.test_products import SLMGR, printed
from tests.ports import free_port

_RUN = """
import contextlib, io, sys
from kmstwist.cli.main import kmstwist
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    kmstwist(sys.argv[1:])
print(*sys.modules)
"""
#: What takes longer to import than a command that has no use for it may take in all.
_HEAVY = {"twisted", "sqlalchemy", "pydantic", "dns", "Crypto", "cryptography", "asyncio", "jinja2", "alembic"}


def imported(arguments: str) -> list[str]:
    """The modules that a command has imported at its end."""
    found = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments.split()], capture_output=True, text=True, check=True, timeout=120
    )
    return found.stdout.split()


@pytest.mark.parametrize("group", [kmstwist, lab], ids=["kmstwist", "lab"])
def test_a_list_of_commands_says_of_each_what_its_help_says(group: LazyGroup) -> None:
    context = click.Context(group)
    for name, verb in group.verbs.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.hidden is (verb.does is None)
        if verb.does is not None:
            listed = click.Command(name, help=verb.does)
            for limit in range(20, 200, 5):
                assert listed.get_short_help_str(limit) == command.get_short_help_str(limit), name


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        ("--help", 190),
        ("--version", 190),
        ("lab --help", 190),
        ("lab fleet --help", 260),
        ("errors 0xC004F074", 220),
        ("keys windows", 280),
        ("setup-client --help", 190),
        ("log --help", 200),
        ("gateway --help", 190),
        ("audit --help", 190),
        ("events --help", 200),
        ("report", 220),
        ("report --help", 220),
        ("upstreams list", 235),
        ("gateway status", 235),
        ("dns --help", 190),
        ("discover --help", 190),
        ("doctor --help", 200),
        ("probe --help", 200),
        ("lab fleet scenarios", 260),
        ("lab fleet scenarios cloned-image", 260),
    ],
)
def test_a_command_that_asks_nobody_imports_little(arguments: str, most: int) -> None:
    modules = imported(arguments)
    assert {name.partition(".")[0] for name in modules} & _HEAVY == set()
    assert len(modules) <= most


@pytest.mark.parametrize("tool", ["machine", "slmgr", "ospp", "events", "activate", "shim"])
def test_the_help_of_a_lab_s_tool_opens_no_store_and_no_network(tool: str) -> None:
    modules = {name.partition(".")[0] for name in imported(f"lab {tool} --help")}
    assert modules & (_HEAVY - {"Crypto"}) == set()


def test_the_server_s_options_are_listed_without_its_configuration() -> None:
    modules = {name.partition(".")[0] for name in imported("serve --help")}
    assert modules & _HEAVY == {"twisted"}


@pytest.mark.parametrize("verb", ["--help", "list --help", "new --help"])
def test_the_help_of_lab_machines_needs_no_cryptography(verb: str) -> None:
    assert "Crypto" not in {name.partition(".")[0] for name in imported(f"lab machine {verb}")}


def test_a_record_for_dns_is_shown_without_a_reactor_or_a_message() -> None:
    modules = imported("dns show --domain a.example --host kms.a.example --port 1688")
    # A name is checked as it is written.
    assert {name.partition(".")[0] for name in modules} & (_HEAVY - {"dns"}) == set()
    assert "dns.name" in modules
    assert "dns.message" not in modules


def test_a_lab_machine_is_looked_at_without_a_reactor_or_a_resolver(tmp_path: Path) -> None:
    LabKey.load_or_create(tmp_path / KEY_FILE_NAME, os.urandom)
    imported(f"lab machine new PC1 --product ProPlus2021Volume --state-dir {tmp_path}")
    for command in ("ospp PC1 /dstatus", "slmgr host /dlv", "events PC1", "machine list"):
        modules = {name.partition(".")[0] for name in imported(f"lab {command} --state-dir {tmp_path}")}
        assert modules & (_HEAVY - (set() if command == "machine list" else {"Crypto"})) == set()
        assert "sqlite3" in modules


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        *((f"report {name} --format json", set[str]()) for name in SUMMARIES),
        *((f"report {name}", {"rich"}) for name in ("clients", "activity", "digest")),
        ("products list", set[str]()),
        ("audit salt show", set[str]()),
        ("audit salt import {folder}/exported", set[str]()),
        ("audit backup {folder}/copy.sqlite", {"rich"}),
        *((f"audit vacuum{more}", {"rich"}) for more in ("", " --full", " --older-than 90d", " --max-size 1G")),
        ("audit verify", set[str]()),
        ("audit forget PC1 --yes", set[str]()),
        ("events import {folder}/events.xml --no-dns", {"rich"}),
        ("products import {folder}/products.txt", set[str]()),
    ],
)
def test_a_store_s_file_is_worked_on_without_sqlalchemy_or_configuration(
    tmp_path: Path, verb: str, more: set[str]
) -> None:
    store = tmp_path / "audit.sqlite"
    assert is_ready(store, make=True)
    engine = open_engine(str(store))
    insert_batch(engine, [known(START, "PC1")])
    engine.dispose()
    (tmp_path / "events.xml").write_bytes(as_xml([request(1, AT, "pc1.example.com")]))
    (tmp_path / "products.txt").write_text(printed(SLMGR))
    load_salt(tmp_path / "audit.salt")
    export_salt(tmp_path / "audit.salt", tmp_path / "exported")
    modules = {name.partition(".")[0] for name in imported(f"{verb.format(folder=tmp_path)} --store {store}")}
    assert modules & (_HEAVY | {"rich"}) == more
    assert "sqlite3" in modules


def test_a_salt_is_exported_without_sqlalchemy_or_a_store(tmp_path: Path) -> None:
    load_salt(tmp_path / "audit.salt")
    modules = imported(f"audit salt export {tmp_path}/exported --store {tmp_path}/audit.sqlite")
    assert {name.partition(".")[0] for name in modules} & (_HEAVY | {"rich"}) == set()
    assert (tmp_path / "exported").exists()


def test_a_configuration_is_checked_without_sql_keys_or_a_reactor(tmp_path: object) -> None:
    file = f"{tmp_path}/kmstwist.toml"
    with open(file, "w") as text:
        text.write("[server]\nport = 1688\n")
    modules = imported(f"config check {file}")
    assert {name.partition(".")[0] for name in modules} & (_HEAVY - {"pydantic", "dns"}) == set()
    assert "pydantic" in modules
    assert "kmstwist.audit.records" not in modules


_SERVER = """
import sys
from pathlib import Path
import kmstwist.server  # As twistd does before it has a reactor.
from twisted.internet import reactor
from twisted.scripts.twistd import run
told = Path(sys.argv.pop())
def tell():
    # It listens, and has answered nobody yet.
    listening = " ".join(sys.modules)
    reactor.callLater(0, tell_more, listening)
def tell_more(listening):
    told.write_text("\\n".join([listening, " ".join(sys.modules)]))
    reactor.stop()
reactor.callWhenRunning(tell)
run()
"""
#: What a server has no use for whose configuration asks for nothing of it.
_UNASKED = {
    *("alembic", "apprise", "dns.message", "jinja2", "prometheus_client", "psycopg", "rich", "twisted.web.server"),
    *("kmstwist.collecting.service", "kmstwist.discovery.lookup.resolver", "kmstwist.notify.service"),
    *("kmstwist.process.workers.supervisor", "kmstwist.web.site", "sqlalchemy.dialects.postgresql"),
}


#: What is loaded when the server listens already: by the audit's thread, a part at a time, and for the lab's messages.
_LATER = {
    *("sqlalchemy", "kmstwist.audit.schema", "kmstwist.audit.storage", "kmstwist.web.site", "rich", "alembic"),
    *("Crypto", "kmstwist.lab.cipher"),
}


@pytest.mark.parametrize(
    ("options", "unasked", "audit"),
    [
        ([], {"kmstwist.gateway.service", "kmstwist.transport.connection"}, True),
        (["--upstream=127.0.0.1:9", f"--web=127.0.0.1:{free_port()}"], {"Crypto", "kmstwist.lab.host"}, True),
        (
            ["--upstream=127.0.0.1:9", f"--web=127.0.0.1:{free_port()}"],
            {"Crypto", "kmstwist.lab.host", "kmstwist.audit.service", "sqlalchemy"},
            False,
        ),
    ],
    ids=["lab", "gateway", "gateway-without-audit"],
)
def test_a_server_loads_what_its_configuration_asks_for(
    tmp_path: Path, options: list[str], unasked: set[str], audit: bool
) -> None:
    # Whoever is first to look for plugins after an installation loads them all, to write their list.
    assert any(plugin.tapname == "kms" for plugin in getPlugins(IServiceMaker))
    told = tmp_path / "modules"
    kms = ["kms", f"--state-dir={tmp_path}/state", "--listen=127.0.0.1:0", *options]
    # A new store, and one that is there.
    for _ in range(2 if audit else 1):
        subprocess.run(
            [sys.executable, "-c", _SERVER, "-n", "--pidfile=", *kms, str(told)],
            check=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, "KMSTWIST_AUDIT__ENABLED": str(audit).lower()},
        )
        listening, later = (set(line.split()) for line in told.read_text().splitlines())
        assert "kmstwist.server.tap" in listening
        assert ("kmstwist.audit.service" in listening) is audit
        assert listening & _LATER == set()
        assert later & (_UNASKED | unasked) == set()
        assert len(listening) <= 755
