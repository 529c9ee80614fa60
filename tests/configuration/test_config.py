from __future__ import annotations

import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.cli.main import kmstwist
from kmstwist.cli.reference import PAGES
from kmstwist.configuration.derived import refuse_open_passwords
from kmstwist.configuration.document import commented_toml, effective_toml
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.model import Config, LabSettings, ServerSettings
from kmstwist.configuration.options import OPTIONS
from kmstwist.configuration.places import line_numbers
from kmstwist.configuration.reading import Override, load
from kmstwist.kms.catalogue import FAMILIES
from kmstwist.process.options import Options
from kmstwist.rpc import NEWEST_WINDOWS, WINDOWS_VERSIONS
from kmstwist.startup import StartupError

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / "etc" / "kmstwist" / "kmstwist.toml"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "kmstwist.toml"
        path.write_text(text)
        return path

    return write


def mistakes(file: Path | None, *overrides: Override) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    return [str(mistake).replace(f"{file}:", "") for mistake in caught.value.mistakes]


def test_without_a_file_and_options_everything_is_the_default() -> None:
    effective = load(None)
    assert effective.config == Config()
    assert {origin for _, _, origin in effective.values()} == {"default"}


def test_all_mistakes_are_said_at_once_each_with_its_line_its_place_and_its_cure(write: Any) -> None:
    file = write(
        """\
[server]
prot = 1688
port = "1688"
[gateway]
deadline = 0
policy = "random"
[[gateway.upstreams]]
address = "kms1.example.com"
[[gateway.upstreams]]
adress = "kms2.example.com"
[gateway.pool]
floor = 9
ceiling = 2
[admission]
allow = ["10.0.0.1/8", "nowhere"]
deadline = 3
[lab]
activation_interval = 1
[frobnicate]
"""
    )
    assert mistakes(file) == [
        "2: server.prot: no such option; did you mean port?",
        '3: server.port: must be a whole number, not "1688"',
        "5: gateway.deadline: must be at least 0.1, not 0",
        '6: gateway.policy: must be one of sticky or spread, not "random"',
        "9: gateway.upstreams[2].address: is missing; every gateway.upstreams table needs it",
        "10: gateway.upstreams[2].adress: no such option; did you mean address?",
        "12: gateway.pool.floor: floor (9) is above ceiling (2); lower floor",
        "15: admission.allow[1]: '10.0.0.1/8' has bits set past its prefix; did you mean 10.0.0.0/8?",
        "15: admission.allow[2]: 'nowhere' is not a network; write for example 10.0.0.0/8, fd00::/8 or 10.1.2.3",
        "16: admission.deadline: no such option here; it belongs to [gateway]",
        "18: lab.activation_interval: must be at least 15, not 1",
        "19: frobnicate: no such option; there are " + ", ".join(Config.model_fields),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server\n", "1: not TOML: Expected ']' at the end of a table declaration"),
        ("[server]\nport = 1\nport = 2\n", "3: not TOML: what is set here is already set; keep one"),
        ("[web]\n[server.log]\n[server.log]\n", "3: not TOML: [server.log] appears twice; merge the two"),
        ("[server]\nlisten = [\n", " not TOML: Invalid value (at end of document)"),
        ("[gateway]\ndeadline = nan\n", "2: gateway.deadline: must be at most 300, not nan"),
        ("[server]\na.b.c = 1\n", "2: server.a: no such option"),
        ('[server]\n"a b" = 1\n', '1: server."a b": no such option; there are port, listen'),
        (f"{'x' * 5000} = 1\n", f"1: {'x' * 80}...: no such option; there are"),
        ('[audit]\nstore = "a\\u0000b"\n', "2: audit.store: holds a NUL character"),
        ('[[gateway.upstreams]]\naddress = "a\\U00000000b"\n', "2: gateway.upstreams[1].address: holds a NUL"),
        (
            '[gateway.upstreams]\naddress = "a"\n',
            "1: gateway.upstreams: must be a table with [[gateway.upstreams]] above",
        ),
        ('[gateway]\nupstreams = ["a"]\n', "2: gateway.upstreams[1]: must be a table with [[gateway.upstreams]] above"),
        (
            "[gateway]\ndeadline = 3\nattempt_timeout = 5\n",
            "3: gateway.attempt_timeout: attempt_timeout (5) is above deadline (3): one silent host",
        ),
        (
            "[gateway.health]\nbackoff_first = 99\n",
            "2: gateway.health.backoff_first: backoff_first (99) is above backoff_longest (60)",
        ),
        ("[server]\nworkers = 4\n", "2: server.workers: several workers need a gateway, and no upstream is named"),
        (
            '[server]\nlisten = ["systemd:domain=INET6:index=0", "tcp6:"]\n',
            "2: server.listen[2]: 'tcp6:' is neither an address with a port nor a Twisted endpoint (invalid literal",
        ),
        (
            '[[gateway.upstreams]]\naddress = "10.0.0.300"\n',
            "'10.0.0.300' is not an IPv4 address: that is four numbers",
        ),
        ('[[gateway.upstreams]]\naddress = "a"\nname = "x\\ny"\n', r"'x\ny' is not a name for logs and commands"),
        (
            '[[gateway.upstreams]]\naddress = "a"\nname = "x"\n[[gateway.upstreams]]\naddress = "A:1688"\n',
            "'x' and 'A:1688' are the same host, A:1688; name it once",
        ),
        (
            '[[gateway.upstreams]]\naddress = "Kms1.example"\n[[gateway.upstreams]]\naddress = "kms1.example."\n',
            "'Kms1.example:1688' and 'kms1.example.:1688' are the same host, kms1.example.:1688; name it once",
        ),
        (
            '[[gateway.upstreams]]\naddress = "fd00:0::7"\n[[gateway.upstreams]]\naddress = "[FD00::7]:1688"\n',
            "are the same host, [FD00::7]:1688; name it once",
        ),
        ("server = 3\n", "1: server: must be a section of its own, not 3"),
        ("[lab]\nproducts = []\n", "2: lab.products: must name at least one"),
        ('[server]\nlisten = "tcp:1"\n', '2: server.listen: must be a list in brackets, not "tcp:1"'),
        ("[server]\nport = true\n", "2: server.port: must be a whole number, not true"),
        ("[gateway]\ndeadline = inf\n", "2: gateway.deadline: must be at most 300"),
        ('[gateway]\ndiscover = "corp example"\n', "2: gateway.discover: 'corp example' is not a DNS domain"),
        (
            '[gateway]\ndns_servers = ["10.0.0.53"]\n',
            "2: gateway.dns_servers: no such option; the DNS servers to ask are servers in [dns]",
        ),
        ('[dns]\nservers = ["ns1.corp"]\n', "2: dns.servers[1]: ns1.corp is not an address"),
        (
            '[[gateway.upstreams]]\naddress = "a"\n[[gateway.upstreams]]\naddress = "a:1688"\n',
            "4: gateway.upstreams[2].address: two upstreams are the same host, a:1688; name it once",
        ),
    ],
)
def test_a_mistake_is_one_sentence(write: Any, text: str, sentence: str) -> None:
    [mistake] = mistakes(write(text))
    assert sentence in mistake


def test_of_very_many_mistakes_the_first_are_listed_and_the_rest_counted(write: Any) -> None:
    said = mistakes(write(f"[gateway]\nupstreams = [{', '.join(['1'] * 200)}]\n"))
    assert len(said) == 51
    assert said[0].endswith("not 1")
    assert said[-1] == "there are 150 more mistakes"


def test_a_value_that_is_quoted_makes_no_second_line(write: Any) -> None:
    (said,) = mistakes(write('[admission]\nallow = ["10.0.0.0/8\\n2026-01-01 info started\\u202e"]\n'))
    assert r"10.0.0.0/8\n2026-01-01 info started\u202e" in said
    assert said.isprintable()


def test_all_contradictions_are_reported_at_once_each_at_its_own_line(write: Any) -> None:
    file = write(
        """\
[gateway]
deadline = 2
attempt_timeout = 5
[[gateway.upstreams]]
name = "x"
address = "a"
[[gateway.upstreams]]
address = "b"
name = "x"
[[gateway.upstreams]]
name = "y"
address = "A."
[[gateway.upstreams]]
name = "y"
address = "b"
[gateway.pool]
ceiling = 1
[admission]
allow = ["10.0.0.0/8", "10.66.0.0/16", "fd00::/8"]
deny = ["fd00::/8", "10.66.0.0/16"]
"""
    )
    host = "name it once, with the weight it should have"
    assert mistakes(file) == [
        "17: gateway.pool.ceiling: floor (2) is above ceiling (1); lower floor",
        "20: admission.deny[1]: fd00::/8 is in allow and in deny; take it out of one",
        "20: admission.deny[2]: 10.66.0.0/16 is in allow and in deny; take it out of one",
    ]
    file.write_text(file.read_text().partition("[gateway.pool]")[0])
    assert mistakes(file) == [
        "3: gateway.attempt_timeout: attempt_timeout (5) is above deadline (2): one silent host would use up a call's "
        "time, and no other would be asked; lower it",
        "9: gateway.upstreams[2].name: two upstreams are named 'x'; give each its own name",
        f"12: gateway.upstreams[3].address: 'x' and 'y' are the same host, A.:1688; {host}",
        "14: gateway.upstreams[4].name: two upstreams are named 'y'; give each its own name",
        f"15: gateway.upstreams[4].address: 'x' and 'y' are the same host, b:1688; {host}",
    ]


@pytest.mark.parametrize(
    ("option", "url", "sentence"),
    [
        (
            "store",
            "postgresql://u:s3cret@h/db",
            "must be the path of a file, not a URL; forward_to is for a PostgreSQL",
        ),
        ("store", "sqlite:///s3cret.sqlite", "must be the path of a file, not a URL"),
        (
            "forward_to",
            "mysql://u:s3cret@h/db",
            "is not a URL of a PostgreSQL; write it as postgresql://USER@HOST/DATABASE",
        ),
        ("forward_to", "postgresql://u:s3cret@h:abc/db", "has a port that is not a number, or a user or password with"),
        ("forward_to", "postgresql://u:p@s3cret@h/db", "has an @ in its user or password that must be written as %40"),
        ("forward_to", "postgresql://u:p@s3cret:w@h/db", "has a port that is not a number, or a user or password with"),
        ("forward_to", "postgresql://u:s3cret@h:70000/db", "has a port that is not from 1 to 65535; write it as"),
    ],
)
def test_an_invalid_store_is_one_sentence_without_its_password(
    write: Any, option: str, url: str, sentence: str
) -> None:
    [mistake] = mistakes(write(f"[audit]\n{option} = {json.dumps(url)}\n"))
    assert f"2: audit.{option}: {sentence}" in mistake
    assert "s3cret" not in mistake


@pytest.mark.parametrize("url", ["postgresql://u:p%40ss@[fd00::7]:5432/db", "postgresql:///db?host=/run/postgresql"])
def test_a_postgresql_url_is_used_unchanged(write: Any, url: str) -> None:
    assert load(write(f'[audit]\nforward_to = "{url}"\n')).config.audit.forward_to == url


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "absent.toml") == [" there is no such file; check how its name is spelt"]
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert mistakes(tmp_path / "binary.toml") == ["1: not UTF-8 text; save the file as UTF-8"]
    (tmp_path / "latin.toml").write_bytes(b"[server]\nport = 1\n# f\xfcr Windows\n")
    assert mistakes(tmp_path / "latin.toml") == ["3: not UTF-8 text; save the file as UTF-8"]
    assert mistakes(tmp_path) == [" is a folder; name a file"]


def test_a_link_to_nowhere_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "kms.toml").symlink_to("gone.toml")
    assert mistakes(tmp_path / "kms.toml") == [
        " is a link to gone.toml, which does not exist; make that file, or the link anew"
    ]


def test_a_value_is_shown_in_its_own_letters_but_not_obeyed(tmp_path: Path) -> None:
    file = tmp_path / "kms.toml"
    file.write_text('[gateway]\nupstreams = ["kms.m\u00fcnchen.example\\u009b\\u202e"]\n', encoding="utf-8")
    (found,) = mistakes(file)
    assert 'not "kms.münchen.example\\x9b\\u202e"' in found


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "notepad.toml").write_bytes(b"\xef\xbb\xbf[server]\r\nport = 1700\r\n")
    effective = load(tmp_path / "notepad.toml")
    assert effective.config.server.port == 1700
    assert effective.origins["server", "port"] == f"{tmp_path / 'notepad.toml'}:2"


def test_an_option_overrides_the_file_and_the_file_the_default_and_each_value_knows_its_origin(write: Any) -> None:
    file = write("[server]\nport = 1700\n[gateway]\ndeadline = 7\n")
    effective = load(file, [Override(("server", "port"), 1800, "--port=1800")])
    origins = {".".join(place): (value, origin) for place, value, origin in effective.values()}
    assert origins["server.port"] == (1800, "--port=1800")
    assert origins["gateway.deadline"] == (7.0, f"{file}:4")
    assert origins["gateway.policy"] == ("sticky", "default")


def test_a_mistake_on_the_command_line_has_the_option_for_its_place(write: Any) -> None:
    file = write("[server]\nport = 0\n")
    assert mistakes(file, Override(("gateway", "policy"), "x", "--policy=x")) == [
        "--policy=x: must be one of sticky or spread"
    ]


@given(st.recursive(st.one_of(st.integers(), st.text(), st.booleans()), lambda inner: st.lists(inner), max_leaves=4))
def test_no_value_makes_it_raise_anything_but_a_configuration_error(value: Any) -> None:
    for place in (("server", "port"), ("gateway", "upstreams"), ("admission", "allow"), ("lab",), ("server", "x")):
        with suppress(ConfigError):
            load(None, [Override(place, value, "--option")])


def test_line_numbers_are_found_in_a_file_laid_out_as_usual() -> None:
    lines = line_numbers('a = 1\n[b]\nc = 2 # x\n[b.d]\n"e" = 3\n[[f]]\ng = 1\n[[f]]\ng.h = 1\n')
    assert lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "d"): 4,
        ("b", "d", "e"): 5,
        ("f",): 6,
        ("f", "0"): 6,
        ("f", "0", "g"): 7,
        ("f", "1"): 8,
        ("f", "1", "g"): 9,
        ("f", "1", "g", "h"): 9,
    }


def test_the_effective_configuration_can_be_read_back_as_a_file(write: Any, tmp_path: Path) -> None:
    file = write(
        '[gateway]\ndiscover = "corp.example.com"\n[[gateway.upstreams]]\naddress = "kms1:1700"\nweight = 3\n'
        '[admission]\nallow = ["::/0", "0.0.0.0/0"]\n'
    )
    effective = load(file)
    (tmp_path / "again.toml").write_text(effective_toml(effective))
    assert load(tmp_path / "again.toml").config == effective.config


# The file that is installed, and the reference.


def test_the_installed_file_is_made_from_the_model() -> None:
    assert INSTALLED.read_text() == commented_toml(), "run `make docs`"


def test_the_installed_file_is_the_default_configuration() -> None:
    assert load(INSTALLED).config == Config()


def test_the_installed_file_names_every_option_and_is_in_order_with_all_of_them_in_force(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\[|[a-z_0-9]+ = )", "", INSTALLED.read_text(), flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(text)
    load(tmp_path / "all.toml")
    given = tomllib.loads(text)

    def compare(model: Any, table: Any, place: str) -> None:
        for name, info in model.model_fields.items():
            assert name in table, f"{place}{name} is missing"
            annotation = info.annotation
            if isinstance(table[name], dict):
                compare(annotation, table[name], f"{place}{name}.")
            elif table[name] and isinstance(table[name], list) and isinstance(table[name][0], dict):
                compare(get_args(annotation)[0], table[name][0], f"{place}{name}.")
        assert set(table) == set(model.model_fields)

    compare(Config, given, "")


def test_every_option_is_described() -> None:
    page = PAGES["reference/configuration.md"]()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row[0] for row in rows if not row[2].strip()] == []


def test_the_two_lists_of_product_families_are_one() -> None:
    assert LabSettings().products == FAMILIES
    assert get_args(get_args(LabSettings.model_fields["products"].annotation)[0]) == FAMILIES


def test_the_windows_versions_that_may_be_configured_are_those_that_rpc_knows() -> None:
    field = ServerSettings.model_fields["windows"]
    assert set(get_args(field.annotation)) == set(WINDOWS_VERSIONS)
    assert WINDOWS_VERSIONS[field.default] is NEWEST_WINDOWS


# The options.


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_sets_an_existing_value(option: Any) -> None:
    config: Any = Config()
    for name in option.place:
        assert hasattr(config, name)
        config = getattr(config, name)


def test_options_that_may_be_repeated_make_a_list() -> None:
    config = parsed("--upstream=kms1", "--upstream=kms2:1700", "--allow=10.0.0.0/8", "--workers=2").effective.config
    assert [upstream.address for upstream in config.gateway.upstreams] == ["kms1:1688", "kms2:1700"]
    assert [str(network) for network in config.admission.allow] == ["10.0.0.0/8"]
    assert config.server.workers == 2


def test_upstreams_on_the_command_line_stand_instead_of_the_file_s(write: Any) -> None:
    file = write('[[gateway.upstreams]]\naddress = "kms1"\n')
    config = parsed(f"--config={file}", "--upstream=kms2").effective.config
    assert [upstream.address for upstream in config.gateway.upstreams] == ["kms2:1688"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port=x"], "twistd kms: --port=x: must be a whole number"),
        (["--deadline=soon", "--port=70000"], "twistd kms: --deadline=soon: must be a number"),
        (["--upstream=a:b"], "twistd kms: --upstream=a:b: 'a:b': the port must be a number from 1 to 65535"),
        (["--prot=1"], "twistd kms: there is no option --prot; did you mean --port?"),
        (["--workers=2"], "twistd kms: --workers=2: several workers need a gateway, and no upstream is named"),
        (["--upstream=a", "--upstream=a"], "twistd kms: --upstream=a,a: two upstreams are the same host, a:1688"),
        (
            ["--upstream=a", "--deny=10.0.0.0/8", "--allow=10.0.0.0/8"],
            "twistd kms: --allow=10.0.0.0/8 --deny=10.0.0.0/8: 10.0.0.0/8 is in allow and in deny",
        ),
        (["--lab-products=Windows,Linux"], "must be one of Windows, Windows Server or Office"),
    ],
)
def test_a_wrong_option_ends_the_program_with_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*arguments)
    assert sentence in str(caught.value.code)


def test_a_file_with_a_password_in_it_is_policed(tmp_path: Path) -> None:
    path = tmp_path / "kmstwist.toml"
    path.write_text('# postgresql://u:not-one@h/db\n[audit]\nforward_to = "postgresql://u:s3cret@h/db"\n')
    path.chmod(0o644)
    with pytest.raises(StartupError, match=r"kmstwist.toml:3: there is a password here, .* chmod 0640") as caught:
        refuse_open_passwords(load(path))
    assert "s3cret" not in str(caught.value)
    checked = CliRunner().invoke(kmstwist, ["config", "check", str(path)])
    assert checked.exit_code == 1
    assert "there is a password here" in checked.output
    path.chmod(0o640)
    refuse_open_passwords(load(path))
    shown = CliRunner().invoke(kmstwist, ["config", "show", "--config", str(path)])
    assert 'forward_to = "postgresql://u:***@h/db"' in shown.output
    assert "s3cret" not in shown.output


def test_the_central_store_of_the_reports_is_a_postgresql(write: Any) -> None:
    [mistake] = mistakes(write('[web]\nstore = "postgresql://u:s3@cret@h/db"\n'))
    assert "2: web.store: has an @ in its user or password that must be written as %40" in mistake
    assert "cret" not in mistake.replace("password", "")
    assert load(write('[web]\nstore = "postgresql://reader@h/db"\n')).config.web.store == "postgresql://reader@h/db"


@pytest.mark.parametrize("text", ["30s", "500 ms", "1.5h"])
def test_a_number_with_a_unit_is_refused_with_the_right_form(write: Any, text: str) -> None:
    [mistake] = mistakes(write(f'[server.timeouts]\nidle = "{text}"\n'))
    assert mistake == (
        f'2: server.timeouts.idle: must be a number, not "{text}"; write the number alone, in the unit that '
        "docs/reference/configuration.md gives"
    )
