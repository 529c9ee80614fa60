"""Dates in the format of a machine's region: Windows' default short date and long time for it.

slmgr and ospp print a moment in the machine's local time and its region's format, without a time zone. As in VBScript,
a moment at midnight is printed as its date alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from kmstwist.lab.machines.errors import Refused

DEFAULT = "en-US"
_TOKEN = re.compile(r"yyyy|MM|M|dd|d|HH|H|hh|h|mm|ss|tt")


@dataclass(frozen=True, slots=True)
class Region:
    """A region's short date and long time, in Windows' own pattern letters; `halves` are its words for `tt`."""

    name: str
    date_pattern: str
    time_pattern: str
    halves: tuple[str, str] = ("AM", "PM")

    def date(self, moment: datetime) -> str:
        """The day alone."""
        return self._fill(self.date_pattern, moment)

    def text(self, moment: datetime) -> str:
        """Day and time; the day alone for midnight."""
        if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
            return self.date(moment)
        return f"{self.date(moment)} {self._fill(self.time_pattern, moment)}"

    def whole(self, seconds: float) -> str:
        """As `local`, but with midnight written out, as in .NET."""
        moment = datetime.fromtimestamp(int(seconds))
        return f"{self.date(moment)} {self._fill(self.time_pattern, moment)}"

    def local(self, seconds: float) -> str:
        """A moment of Unix seconds, in this computer's local time."""
        return self.text(datetime.fromtimestamp(int(seconds)))

    def _fill(self, pattern: str, moment: datetime) -> str:
        hour_of_half = moment.hour % 12 or 12
        values = {
            "yyyy": f"{moment.year:04}",
            "MM": f"{moment.month:02}",
            "M": str(moment.month),
            "dd": f"{moment.day:02}",
            "d": str(moment.day),
            "HH": f"{moment.hour:02}",
            "H": str(moment.hour),
            "hh": f"{hour_of_half:02}",
            "h": str(hour_of_half),
            "mm": f"{moment.minute:02}",
            "ss": f"{moment.second:02}",
            "tt": self.halves[moment.hour >= 12],
        }
        return _TOKEN.sub(lambda found: values[found[0]], pattern)


_REGIONS = {
    region.name.lower(): region
    for region in (
        Region("en-US", "M/d/yyyy", "h:mm:ss tt"),
        Region("en-GB", "dd/MM/yyyy", "HH:mm:ss"),
        Region("en-AU", "d/MM/yyyy", "h:mm:ss tt"),
        Region("en-CA", "yyyy-MM-dd", "h:mm:ss tt"),
        Region("en-IE", "dd/MM/yyyy", "HH:mm:ss"),
        Region("en-IN", "dd-MM-yyyy", "HH:mm:ss"),
        Region("en-NZ", "d/MM/yyyy", "h:mm:ss tt"),
        Region("en-ZA", "yyyy/MM/dd", "HH:mm:ss"),
        Region("cs-CZ", "dd.MM.yyyy", "H:mm:ss"),
        Region("da-DK", "dd-MM-yyyy", "HH:mm:ss"),
        Region("de-DE", "dd.MM.yyyy", "HH:mm:ss"),
        Region("de-AT", "dd.MM.yyyy", "HH:mm:ss"),
        Region("de-CH", "dd.MM.yyyy", "HH:mm:ss"),
        Region("es-ES", "dd/MM/yyyy", "H:mm:ss"),
        Region("fi-FI", "d.M.yyyy", "H.mm.ss"),
        Region("fr-FR", "dd/MM/yyyy", "HH:mm:ss"),
        Region("fr-CA", "yyyy-MM-dd", "HH:mm:ss"),
        Region("fr-CH", "dd.MM.yyyy", "HH:mm:ss"),
        Region("hu-HU", "yyyy. MM. dd.", "H:mm:ss"),
        Region("it-IT", "dd/MM/yyyy", "HH:mm:ss"),
        Region("ja-JP", "yyyy/MM/dd", "H:mm:ss"),
        Region("ko-KR", "yyyy-MM-dd", "tt h:mm:ss", ("오전", "오후")),
        Region("nb-NO", "dd.MM.yyyy", "HH:mm:ss"),
        Region("nl-NL", "d-M-yyyy", "HH:mm:ss"),
        Region("nl-BE", "d/MM/yyyy", "HH:mm:ss"),
        Region("pl-PL", "dd.MM.yyyy", "HH:mm:ss"),
        Region("pt-BR", "dd/MM/yyyy", "HH:mm:ss"),
        Region("pt-PT", "dd/MM/yyyy", "HH:mm:ss"),
        Region("ro-RO", "dd.MM.yyyy", "HH:mm:ss"),
        Region("ru-RU", "dd.MM.yyyy", "HH:mm:ss"),
        Region("sv-SE", "yyyy-MM-dd", "HH:mm:ss"),
        Region("tr-TR", "d.MM.yyyy", "HH:mm:ss"),
        Region("uk-UA", "dd.MM.yyyy", "HH:mm:ss"),
        Region("zh-CN", "yyyy/M/d", "H:mm:ss"),
        Region("zh-TW", "yyyy/M/d", "tt hh:mm:ss", ("上午", "下午")),
    )
}


def region(name: str) -> Region:
    """The region of a name such as `de-DE` or `de_DE` in any case, or of a language alone; `Refused` for others."""
    wanted = name.strip().replace("_", "-").lower()
    found = _REGIONS.get(wanted)
    if found is None and "-" not in wanted:
        found = next((one for key, one in _REGIONS.items() if key.startswith(f"{wanted}-")), None)
    if found is None or not wanted:
        known = ", ".join(one.name for one in _REGIONS.values())
        raise Refused(f"'{name}' is not a region that the lab knows; there are: {known}.")
    return found
