from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.shown import has_password, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:s3cret@h/db", "postgresql://u:***@h/db"),
        ("mysql+driver://u:s3cret@h/db", "mysql+driver://u:***@h/db"),
        ("postgresql://u:s3cret@s3cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:s3/cr3t@h:5432/db", "postgresql://u:***@h:5432/db"),
        # With a slash too few, for whoever calls it a file.
        ("postgresql:/u:s3cret@h/db", "postgresql:/u:***@h/db"),
        ("postgresql://:s3cret@h/db", "postgresql://:***@h/db"),
        ("postgresql://u@h/db?password=s3cret&sslmode=require", "postgresql://u@h/db?password=***&sslmode=require"),
        ('forward_to = "postgresql://u:s3cret@h/db"  # here', 'forward_to = "postgresql://u:***@h/db"  # here'),
    ],
)
def test_a_password_in_a_url_is_hidden_whatever_the_scheme(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert has_password(text)


@pytest.mark.parametrize("text", ["", "audit.sqlite", "postgresql://u@h/db", "postgresql://h:5432/db", "a:b@c"])
def test_what_has_no_password_stays_as_it_is(text: str) -> None:
    assert without_password(text) == text
    assert not has_password(text)


def test_a_long_text_is_looked_through_once() -> None:
    # At each letter anew, it would take an hour.
    text = "x" * 2_000_000
    assert not has_password(text)


@given(st.text(st.characters(exclude_characters="\"'", exclude_categories=["Z", "C"]), min_size=8, max_size=20))
def test_no_password_is_shown_whatever_its_characters(password: str) -> None:
    shown = without_password(f"postgresql://user:{password}@db.example.com/kms")
    assert shown == "postgresql://user:***@db.example.com/kms"
