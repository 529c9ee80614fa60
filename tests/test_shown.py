from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.shown import counted, has_password, url_without_password, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:s3cret@h/db", "postgresql://u:***@h/db"),
        ("mysql+driver://u:s3cret@h/db", "mysql+driver://u:***@h/db"),
        ("postgresql://u:s3cret@s3cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:s3/cr3t@h:5432/db", "postgresql://u:***@h:5432/db"),
        # With a slash too few, as if it were a file.
        ("postgresql:/u:s3cret@h/db", "postgresql:/u:***@h/db"),
        ("postgresql://:s3cret@h/db", "postgresql://:***@h/db"),
        ("postgresql://u@h/db?password=s3cret&sslmode=require", "postgresql://u@h/db?password=***&sslmode=require"),
        ("postgresql://h/db?passw%6Frd=s3cret", "postgresql://h/db?passw%6Frd=***"),
        ("postgresql://u@corp:s3cret@h/db", "postgresql://u@corp:***@h/db"),
        ('forward_to = "postgresql://u:s3cret@h/db"  # here', 'forward_to = "postgresql://u:***@h/db"  # here'),
    ],
)
def test_a_password_in_a_url_is_hidden_whatever_the_scheme(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert has_password(text)


@pytest.mark.parametrize("text", ["", "audit.sqlite", "postgresql://u@h/db", "postgresql://h:5432/db", "a:b@c"])
def test_a_text_without_a_password_is_unchanged(text: str) -> None:
    assert without_password(text) == text
    assert not has_password(text)


@pytest.mark.parametrize("part", ["x", "a:/", "a:/x:", "?a", "?a=", "/", "postgres:"])
def test_a_long_text_is_searched_once(part: str) -> None:
    # Starting again at each letter would take an hour.
    text = "@ " + part * 100_000
    assert not has_password(text)
    assert url_without_password(text) == text


@given(st.text(st.characters(exclude_characters="\"'", exclude_categories=["Z", "C"]), min_size=8, max_size=20))
def test_no_password_is_shown_whatever_its_characters(password: str) -> None:
    shown = without_password(f"postgresql://user:{password}@db.example.com/kms")
    assert shown == "postgresql://user:***@db.example.com/kms"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:a s3cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@corp:a's3cret\"@h:5432/db", "postgresql://u@corp:***@h:5432/db"),
        ("postgres:u:s3cret@h/db", "postgres:u:***@h/db"),
        ("postgresql//u:s3cret@h/db", "postgresql//u:***@h/db"),
        ("u:s3cret@h/db", "u:***@h/db"),
        # The rest was forgotten.
        ("postgresql://u:s3cret", "postgresql://u:***"),
        ("postgresql://u:s3cret/db", "postgresql://u:***"),
        ("postgresql://h/db?sslmode=require;Password=a s3cret", "postgresql://h/db?sslmode=require;Password=***"),
        ("host=h password = 'a s3cret' user=u", "host=h password = *** user=u"),
    ],
)
def test_a_password_in_a_malformed_url_is_hidden(text: str, shown: str) -> None:
    assert url_without_password(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "/var/lib/a:b@c/audit.sqlite",
        "audit 2.sqlite",
        "sqlite:////tmp/x:y/z",
        "postgresql://h:5432/db",
        "postgresql://u@[::1]:5432/db",
        "postgresql://h1:1,h2:2/db?host=h3:5",
        "postgresql://u@/db?host=/run/a:b&sslmode=require",
    ],
)
def test_a_url_or_file_without_a_password_is_shown_as_it_is(text: str) -> None:
    assert url_without_password(text) == text


@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="@"), min_size=8, max_size=20))
def test_no_password_of_a_url_is_shown_not_even_with_spaces_and_quotes(password: str) -> None:
    assert url_without_password(f"postgresql://user:{password}@h/kms") == "postgresql://user:***@h/kms"


@pytest.mark.parametrize(("number", "text"), [(0, "0 records"), (1, "1 record"), (2, "2 records")])
def test_one_of_something_is_not_many(number: int, text: str) -> None:
    assert counted(number, "record") == text
