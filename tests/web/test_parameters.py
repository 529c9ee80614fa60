"""What pages can be asked, apart from the pages."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kmstwist.web.views.parameters import Between


@pytest.mark.parametrize(
    ("since", "until"), [("2026-06-02", "2026-06-01"), ("2026-06-01", "2026-06-01"), ("1d", "7d"), ("90m", "2h")]
)
def test_an_end_that_is_not_after_the_beginning_is_refused(since: str, until: str) -> None:
    with pytest.raises(ValidationError, match="which is not after the beginning") as caught:
        Between(since=since, until=until)
    assert caught.value.errors()[0]["loc"] == ("until",)


@pytest.mark.parametrize(
    ("since", "until"),
    [("2026-06-01", "2026-06-02"), ("7d", "1d"), ("2026-06-01", "7d"), ("7d", "2026-06-01"), ("", "7d"), ("7d", "")],
)
def test_two_times_that_may_be_in_order_are_taken(since: str, until: str) -> None:
    assert Between(since=since, until=until).until == until
