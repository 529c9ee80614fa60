from __future__ import annotations

import pytest

from kmstwist.kms.catalogue import OFFICE, OFFICE_2010, WINDOWS, UnknownProduct, find, find_gvlk, products, search


def test_every_line_of_the_data_file_is_a_product_with_its_published_threshold() -> None:
    catalogue = products()
    assert len(catalogue) == 161
    assert {(product.family, product.threshold, product.app_id) for product in catalogue} == {
        ("Windows", 25, WINDOWS),
        ("Windows Server", 5, WINDOWS),
        ("Office", 5, OFFICE),
        ("Office", 5, OFFICE_2010),
    }
    assert len({product.name.casefold() for product in catalogue}) == len(catalogue)


def test_a_product_is_found_by_its_name_in_any_case() -> None:
    assert find("windows  11 / 10 ENTERPRISE").name == "Windows 11 / 10 Enterprise"


def test_a_product_of_two_versions_is_found_by_either() -> None:
    assert find("Windows 10 Enterprise") == find("Windows 11 Enterprise") == find("Windows 11 / 10 Enterprise")


def test_a_part_of_one_name_only_is_enough() -> None:
    assert find("MultiPoint Premium").name == "Windows Server 2012 MultiPoint Premium"


def test_a_part_of_several_names_is_refused_with_some_of_them() -> None:
    with pytest.raises(UnknownProduct, match="give the whole name") as caught:
        find("2022")
    assert '"Windows Server 2022 Standard"' in str(caught.value)


def test_an_unknown_name_is_refused_with_its_neighbours() -> None:
    with pytest.raises(UnknownProduct, match=r'did you mean .*"Windows Server 2022 Standard"'):
        find("Windows Server 2022 Standart")
    with pytest.raises(UnknownProduct, match=r'no product "xyzzy"; .kmstwist keys. lists them all$'):
        find("xyzzy")
    with pytest.raises(UnknownProduct):
        find("")


def test_a_product_is_found_by_its_published_client_key() -> None:
    product = find("Windows 11 / 10 Enterprise")
    assert find_gvlk(product.gvlk.lower()) == product
    assert find_gvlk("AAAAA-AAAAA-AAAAA-AAAAA-AAAAA") is None


def test_a_search_wants_every_word() -> None:
    assert {product.name for product in search("ltsc visio")} == {
        "Visio LTSC Professional 2021",
        "Visio LTSC Standard 2021",
        "Visio LTSC Professional 2024",
        "Visio LTSC Standard 2024",
    }
    assert len(search("")) == len(products())
