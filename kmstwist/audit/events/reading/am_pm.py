# ruff: noqa: RUF001 - the words are those of other languages
"""How languages write AM and PM, and which words beside a time have no meaning."""

from __future__ import annotations

import re
from enum import Enum


class Half(Enum):
    """The half of the day that a time is in, as far as the words beside it show."""

    FORENOON = "before noon"
    AFTERNOON = "after noon"
    WHOLE = "of 24 hours"
    UNKNOWN = "unknown"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# In small letters, with dots and spaces left out.
_FORENOON = _words("""
    am a vm fm fh sa de dop ap πμ пп преподне претпладне 上午 午前 早上 凌晨 오전 ص صباحا قظ पूर्वाह्न ก่อนเที่ยง
    paradite pd
    priekšpusdienā priekšp priešpiet prijepodne prepodne öö pg sáng ráno dopoledne
""")
_AFTERNOON = _words("""
    pm p nm em eh ch du odp popołudniu ip μμ сп поподне попладне 下午 午後 晚上 中午 오후 م مساء بظ अपराह्न
    หลังเที่ยง mbasdite md pēcpusdienā pēcp popiet popodne poslijepodne öş ös ptg chiều odpoledne
""")
# "The year", "the hour", "o'clock", "at", and names of the universal time.
_NOTHING = _words("г ч год h r hr kl klo om um at ob o à alle ore uhr utc gmt 日 年 月 일 년 월 年月日 년월일")
_WORD = re.compile(r"[^\s\d,:;/()'\-]+")


def half_of(words: str) -> Half:
    """The half of the day that the words around a date and a time of day name."""
    found = [word.replace(".", "").casefold() for word in _WORD.findall(words)]
    plain = "".join(word for word in found if word not in _NOTHING)
    if not plain:
        return Half.WHOLE
    if plain in _FORENOON:
        return Half.FORENOON
    if plain in _AFTERNOON:
        return Half.AFTERNOON
    return Half.UNKNOWN
