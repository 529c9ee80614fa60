from __future__ import annotations

from kmstwist.discovery.lookup.search import ClientSettings, Origin, SearchDomain, parents, search_domains


def walk(settings: ClientSettings) -> list[str]:
    return [domain.name for domain in search_domains(settings)]


EVERYTHING = ClientSettings(
    search_list=("first.test", "second.test"),
    primary_suffix="lab.corp.test",
    ad_domain="corp.test",
    connection_suffixes=("dhcp.test",),
    devolution=True,
)


def test_a_lookup_domain_makes_the_client_ignore_every_suffix() -> None:
    settings = ClientSettings(lookup_domain="kms.test", search_list=("first.test",), primary_suffix="lab.test")
    assert search_domains(settings) == (SearchDomain("kms.test", Origin.LOOKUP_DOMAIN),)


def test_a_search_list_replaces_the_suffixes_and_stops_devolution() -> None:
    assert walk(EVERYTHING) == ["first.test", "second.test"]


def test_without_a_search_list_the_suffixes_come_in_windows_order() -> None:
    settings = ClientSettings(
        primary_suffix="lab.corp.test", ad_domain="corp.test", connection_suffixes=("dhcp.test", "vpn.test")
    )
    assert [(domain.name, domain.origin) for domain in search_domains(settings)] == [
        ("lab.corp.test", Origin.PRIMARY_SUFFIX),
        ("corp.test", Origin.AD_DOMAIN),
        ("dhcp.test", Origin.CONNECTION_SUFFIX),
        ("vpn.test", Origin.CONNECTION_SUFFIX),
    ]


def test_each_domain_is_searched_once_at_its_first_place() -> None:
    assert walk(ClientSettings(primary_suffix="corp.test", ad_domain="corp.test")) == ["corp.test"]


def test_devolution_walks_the_parents_only_where_asked_for() -> None:
    assert walk(ClientSettings(primary_suffix="a.b.corp.test")) == ["a.b.corp.test"]
    assert walk(ClientSettings(primary_suffix="a.b.corp.test", devolution=True)) == [
        "a.b.corp.test",
        "b.corp.test",
        "corp.test",
    ]


def test_devolution_stops_at_its_level() -> None:
    assert list(parents("a.b.corp.test", 3)) == ["b.corp.test"]
    assert list(parents("corp.test", 2)) == []
    assert list(parents("test", 1)) == []


def test_a_client_without_any_domain_looks_nowhere() -> None:
    assert search_domains(ClientSettings()) == ()
