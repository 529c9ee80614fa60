from __future__ import annotations

import csv
import json

from click.testing import CliRunner, Result

from kmstwist.cli.clients.keys import keys
from kmstwist.kms.catalogue import products


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments)


def test_without_a_search_every_key_is_listed_as_csv_and_json() -> None:
    rows = list(csv.DictReader(run("--format", "csv").stdout.splitlines()))
    assert rows == [
        {key: str(value) for key, value in row.items()} for row in json.loads(run("--format", "json").stdout)
    ]
    assert [row["gvlk"] for row in rows] == [product.gvlk for product in products()]


def test_a_search_matches_all_its_words_in_any_order_and_case() -> None:
    found = json.loads(run("2022", "STANDARD", "--format", "json").stdout)
    assert [row["product"] for row in found] == ["Windows Server 2022 Standard"]
    assert found[0]["threshold"] == 5


def test_the_table_has_a_line_for_each_product_with_its_whole_key() -> None:
    table = run("Datacenter: Azure Edition").stdout
    assert len(table.splitlines()) == 3
    assert "XGN3F-F394H-FD2MY-PP6FD-8MCRC" in table
    assert "NTBV8-9K7Q8-V27C6-M2BTV-KHMXV" in table


def test_a_misspelt_search_lists_what_is_near_and_says_so() -> None:
    result = run("Windws", "Sever", "2022", "standrad", "--format", "json")
    assert [row["product"] for row in json.loads(result.stdout)] == ["Windows Server 2022 Standard"]
    assert "these are similar" in result.stderr


def test_a_year_is_never_read_as_another() -> None:
    assert run("Windws", "Server", "2021", "Standard").exit_code == 1


def test_an_unknown_product_gets_suggestions_and_no_traceback() -> None:
    result = run("Windos11 Pro")
    assert result.exit_code == 1
    assert 'did you mean "Windows 11 / 10 Pro"' in result.stderr
    assert "Traceback" not in result.output
