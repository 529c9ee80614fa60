"""Names for products known by their ids: from the configuration, from Windows, from the lab."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from kmstwist.audit.asking.expressions import pattern
from kmstwist.audit.engine import reading
from kmstwist.audit.events.importer import Importer
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from kmstwist.audit.products.names import Names, add_imported, note_configured
from kmstwist.audit.products.printed import NoProducts, read_printed
from kmstwist.audit.products.product_name import ProductName
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.model import Bucket, Query, Report
from kmstwist.audit.schema import machines
from kmstwist.audit.store import insert_batch
from kmstwist.audit.views.activity import By, shares
from kmstwist.audit.views.calls import Which, latest_calls
from kmstwist.audit.views.machines import Wanted, list_machines
from kmstwist.cli.audit.products import products
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.reading import load
from kmstwist.kms.labids import activation_id
from tests.audit.exports import Sample, as_xml, request
from tests.audit.making import START, known, new_store, opaque, uuid

SAMPLES = Path(__file__).parents[1] / "lab" / "machines" / "samples"
AT = datetime.fromtimestamp(START / 1000, UTC)
CLIENT, SERVER, OFFICE = (uuid(name) for name in ("client", "server", "office"))

#: As `slmgr /dlv all` prints licences: blocks of labels and values, in the language of Windows.
SLMGR = """\
{service}: 10.0.20348.1

{name}{colon}Windows(R), Enterprise edition
{description}{colon}Windows(R) Operating System, VOLUME_KMSCLIENT channel
{activation}{colon}CLIENT
{application}{colon}55c92734-d682-4d71-983e-d6ec3f16059f
{pid}{colon}LAB-0000

{name}{colon}Windows(R), ServerStandard edition
{description}{colon}Windows(R) Operating System, VOLUME_KMSCLIENT channel
{activation}{colon}SERVER
{application}{colon}55c92734-d682-4d71-983e-d6ec3f16059f
{pid}{colon}LAB-0000
    {cmid} (CMID){colon}77777777-2222-3333-4444-555555555555

{name}{colon}Windows(R), Enterprise edition
{description}{colon}Windows(R) Operating System, VOLUME_MAK channel
{activation}{colon}99999999-2222-3333-4444-555555555555
{application}{colon}55c92734-d682-4d71-983e-d6ec3f16059f
"""
LANGUAGES = {
    "English": (": ", "Name", "Description", "Activation ID", "Application ID", "Extended PID", "Client Machine ID"),
    "German": (": ", "Name", "Beschreibung", "Aktivierungs-ID", "Anwendungs-ID", "Erweiterte PID", "Clientcomputer-ID"),
    "French": (" : ", "Nom", "Description", "ID d'activation", "ID d'application", "PID étendu", "ID d'ordinateur"),
    "Japanese": (
        ": ",
        "名前",
        "説明",
        "ライセンス認証 ID",
        "アプリケーション ID",
        "拡張 PID",
        "クライアント コンピューター ID",
    ),
    "Chinese": ("\N{FULLWIDTH COLON}", "名称", "描述", "激活 ID", "应用程序 ID", "扩展 PID", "客户端计算机 ID"),
    "Arabic": (": \u200f", "الاسم", "الوصف", "معرف التنشيط", "معرف التطبيق", "معرف المنتج", "معرف العميل"),
}
OSPP = """\
---Processing--------------------------
---------------------------------------
SKU ID: OFFICE
LICENSE NAME: Office 21, Office21ProPlus2021VL_KMS_Client_AE edition
LICENSE DESCRIPTION: Office 21, VOLUME_KMSCLIENT channel
LICENSE STATUS:  ---LICENSED---
---------------------------------------
SKU ID: 99999999-2222-3333-4444-555555555555
LICENSE NAME: Office 21, Office21ProPlus2021R_Grace edition
LICENSE DESCRIPTION: Office 21, RETAIL(Grace) channel
---------------------------------------
---Exiting-----------------------------
"""


def printed(template: str, language: str = "English") -> str:
    colon, name, description, activation, application, pid, cmid = LANGUAGES[language]
    text = (
        template.replace("CLIENT\n", f"{CLIENT}\n")
        .replace("SERVER\n", f"{SERVER}\n")
        .replace("OFFICE\n", f"{OFFICE}\n")
    )
    return text.format(
        service="Version",
        colon=colon,
        name=name,
        description=description,
        activation=activation,
        application=application,
        pid=pid,
        cmid=cmid,
    )


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return new_store(tmp_path)


def ask(store: Engine, name: str, **question: Any) -> Report[Any]:
    with reading(store) as connection:
        return REPORTS[name].ask(connection, Query(now=AT + timedelta(days=1), **question))


def events_of(store: Engine, folder: Path) -> None:
    """A host's events of three products: a Windows client, a server and Office, one machine each."""
    samples = []
    for number, (machine, needed, act_id) in enumerate(
        [("pc1", "25", CLIENT), ("srv1", "5", SERVER), ("pc1", "5", OFFICE)]
    ):
        values = request(number, AT, machine).data
        samples.append(Sample(number, AT, (values[0], needed, *values[2:8], act_id)))
    path = folder / "kms.xml"
    path.write_bytes(as_xml(samples))
    Importer(store, Privacy(PrivacyPolicy(), b""), lambda _: ()).import_file(path)


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_names_are_read_in_any_language(language: str) -> None:
    found = read_printed(printed(SLMGR, language))
    assert found.names == [
        ProductName(CLIENT, "Windows(R), Enterprise edition", "Windows"),
        ProductName(SERVER, "Windows(R), ServerStandard edition", "Windows Server"),
    ]
    assert found.others == 1


def test_office_prints_the_id_before_the_name() -> None:
    found = read_printed(printed(OSPP))
    assert [(each.act_id, each.family) for each in found.names] == [(OFFICE, "Office")]
    assert "2021" in found.names[0].name
    assert found.others == 1


WINDOWS, OF_OFFICE = "55c92734-d682-4d71-983e-d6ec3f16059f", "0ff1ce15-a989-479d-af46-f275c6370663"


@pytest.mark.parametrize("others", ["", "GracePeriodRemaining : 259200\n"])
def test_powershells_list_of_properties_by_name_is_read(others: str) -> None:
    client, office = (
        f"ApplicationID : {app}\nDescription   : {app_name}, VOLUME_KMSCLIENT channel\n{between}"
        f"ID            : {act_id}\nName          : {name}\n\n"
        for app, app_name, act_id, name, between in (
            (WINDOWS, "Windows(R) Operating System", CLIENT, "Windows(R), Enterprise edition", ""),
            (OF_OFFICE, "Office 19", OFFICE, "Office 19, Office19VisioStd2019VL_KMS_Client_AE edition", others),
        )
    )
    found = read_printed(client + office).names
    assert found[0] == ProductName(CLIENT, "Windows(R), Enterprise edition", "Windows")
    # A name is never an id. Where other properties stand between, there is none.
    assert [each.act_id for each in found[1:]] == ([] if others else [OFFICE])


@pytest.mark.parametrize("name", [path.name for path in sorted(SAMPLES.glob("*d[ls][vt]*.txt"))])
def test_lines_that_administrators_posted_are_read(name: str) -> None:
    (found,) = read_printed((SAMPLES / name).read_text()).names
    assert found.act_id == "11111111-2222-3333-4444-555555555555"
    assert found.family == ("Office" if name.startswith("office") else "Windows")


@pytest.mark.parametrize("text", ["", "Name: Windows", printed(SLMGR).replace("KMSCLIENT", "MAK")])
def test_a_text_without_such_products_is_refused_with_the_way_to_get_one(text: str) -> None:
    with pytest.raises(NoProducts, match=r"slmgr\.vbs /dlv all"):
        read_printed(text)


@given(st.text(st.sampled_from("aA:, \n-(KMSCLIENT channel0123456789abcdef")) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(NoProducts):
        assert read_printed(text).names


def test_count_tells_windows_clients_servers_and_office_apart(store: Engine, tmp_path: Path) -> None:
    events_of(store, tmp_path)
    assert {(row.application, row.needed, row.count) for row in ask(store, "count").rows} == {
        ("Windows", 25, 1),
        ("", 5, 2),
    }
    add_imported(store, [*read_printed(printed(SLMGR)).names, *read_printed(printed(OSPP)).names])
    assert {(row.application, row.needed, row.clients, row.count) for row in ask(store, "count").rows} == {
        ("Windows", 25, 1, 2),
        ("Windows", 5, 1, 2),
        ("Office", 5, 1, 1),
    }


def test_names_stand_in_every_report_and_on_the_site(store: Engine, tmp_path: Path) -> None:
    events_of(store, tmp_path)
    note_configured(store, [ProductName(CLIENT, "Desktops", "Windows")])
    assert [row.product for row in ask(store, "clients", product="desk*").rows] == ["Desktops"]
    assert [row.product for row in ask(store, "clients", product=CLIENT.upper()).rows] == ["Desktops"]
    assert {row.product for row in ask(store, "products").rows} == {"Desktops", SERVER, OFFICE}
    assert {row.bucket for row in ask(store, "activity", by=Bucket.PRODUCT).rows} == {"Desktops", SERVER, OFFICE}
    assert [row.calls for row in ask(store, "activity", by=Bucket.PRODUCT, product="Desktops").rows] == [1]
    assert {row.product for row in ask(store, "networks").rows} == {"Desktops", SERVER, OFFICE}
    with reading(store) as connection:
        wanted = Wanted(AT + timedelta(days=1), product="Desktops")
        assert [row.machine for row in list_machines(connection, wanted, 10)] == ["pc1"]
        assert [row.product for row in latest_calls(connection, Which(product="desktop*"), 10)] == ["Desktops"]
        assert "Desktops" in {row.name for row in shares(connection, By.PRODUCT, AT, AT + timedelta(days=1))}


def test_two_ids_of_one_name_are_one_product(store: Engine, tmp_path: Path) -> None:
    events_of(store, tmp_path)
    note_configured(store, [ProductName(CLIENT, "Ours", "Windows"), ProductName(SERVER, "Ours", "Windows")])
    row, _ = ask(store, "products").rows
    assert (row.product, row.application) == ("Ours", "Windows")
    assert ask(store, "activity", by=Bucket.PRODUCT, product="Ours").rows[0].calls == 2


def test_the_configuration_comes_before_imported_names(store: Engine) -> None:
    add_imported(store, [ProductName(CLIENT, "Imported", "Windows"), ProductName(SERVER, "Also", "")])
    note_configured(store, [ProductName(CLIENT, "Configured", "Windows")])
    with reading(store) as connection:
        names = Names.stored(connection)
    assert (names.name_of(CLIENT), names.name_of(SERVER), names.name_of(OFFICE)) == ("Configured", "Also", None)
    # One that is taken out of the configuration has its other name again.
    note_configured(store, [])
    with reading(store) as connection:
        assert Names.stored(connection).name_of(CLIENT) == "Imported"


def test_importing_names_again_changes_nothing_and_says_so(store: Engine) -> None:
    assert add_imported(store, [ProductName(CLIENT, "One")]) == (1, 0)
    assert add_imported(store, [ProductName(CLIENT, "One")]) == (0, 0)
    assert add_imported(store, [ProductName(CLIENT, "Another")]) == (0, 1)


def test_a_lab_product_in_a_gateways_audit_has_its_name(store: Engine) -> None:
    act_id = str(activation_id("Windows Server 2022 Standard"))
    insert_batch(store, [known(START, "pc1", act_id=act_id, product=None)])
    assert [row.product for row in ask(store, "products").rows] == ["Windows Server 2022 Standard"]


@given(st.text(st.sampled_from("abAB%_ö*"), max_size=6), st.text(st.sampled_from("abAB%_öÖ"), max_size=6))
def test_patterns_mean_the_same_for_given_names_as_for_stored_ones(text: str, name: str) -> None:
    fits = bool(Names({"x": ProductName("x", name)}).like(text))
    assert fits == _glob(text.casefold(), name.casefold())
    # The database's own is the one of the stored names.
    assert "LIKE" in str(pattern(machines.c.product, text)).upper()


def _glob(text: str, name: str) -> bool:
    if not text:
        return not name
    if text[0] == "*":
        return _glob(text[1:], name) or (bool(name) and _glob(text, name[1:]))
    return bool(name) and name[0] == text[0] and _glob(text[1:], name[1:])


def test_the_command_imports_and_lists(store: Engine, tmp_path: Path) -> None:
    events_of(store, tmp_path)
    path, bad = tmp_path / "products.txt", tmp_path / "bad.txt"
    path.write_bytes(printed(SLMGR, "German").encode("utf-16"))
    bad.write_text("nothing")
    options = ["--store", str(store.url.database)]
    result = CliRunner().invoke(products, ["import", *options, str(bad), str(path)])
    assert result.exit_code == 1
    assert f"{path}: 2 new, 0 changed, 0 already known; 1 licence" in result.stdout
    assert f"{bad}: it has no licence" in result.stderr
    listed = CliRunner().invoke(products, ["list", *options]).stdout
    assert f"{CLIENT}  Windows(R), Enterprise edition (Windows)" in listed
    assert f"{OFFICE}  (no name)" in listed


def test_names_in_the_configuration_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "kmstwist.toml"
    table = '[[products.named]]\nid = "{%s}"\nname = "Ours"\nfamily = "Office"\n'
    path.write_text(table % CLIENT.upper())
    assert load(path).config.products.names == (ProductName(CLIENT, "Ours", "Office"),)
    path.write_text(table % CLIENT + table % CLIENT)
    with pytest.raises(ConfigError, match="named twice"):
        load(path)
    path.write_text(table % "x")
    with pytest.raises(ConfigError, match="not an activation id"):
        load(path)


def test_an_opaque_call_has_no_product(store: Engine) -> None:
    insert_batch(store, [opaque(START)])
    assert [row.product for row in ask(store, "products").rows] == ["(not readable)"]
