"""From the names that people and tools give a product to the product of the catalogue.

A name is cut into words, each brought to one spelling ("std", "Standard" -> standard); a year or release belongs to
the product's version. Words that distinguish nothing here (Microsoft, edition, VL, x64) are left out. The catalogue's
own names are cut in the same way; a line that stands for several versions counts once for each.

A name means a product if its words are exactly those of one product, or if they fit only one product and leave out
nothing that tells editions apart (N, IoT, Azure, without Hyper-V, ...). In all other cases a person must choose.

The identifiers are those of Microsoft's deployment tools: edition ids as DISM prints them, product ids of the Office
Deployment Tool, licence names as ospp.vbs prints them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from kmstwist.kms.spellings import COMPOUNDS, FILLING, SPELLINGS

_ONE_SPELLING = {other: word for word, others in SPELLINGS.items() for other in (word, *others)}
#: What may be written together with its neighbour, the longest first. A single letter would fit everywhere.
_GLUED = sorted((spelling for spelling in _ONE_SPELLING if len(spelling) > 1), key=len, reverse=True)
#: Words that occur only in names of Office and its programs.
OF_OFFICE = frozenset(
    {"office", "proplus", "visio", "project", "skype", "powerpoint", "publisher", "onenote", "infopath"}
)
#: The name of the whole line, which people leave out or put before a part of it.
LINES = frozenset({"windows", "server", "office"})
#: Editions differ by these: a name without one does not mean a product with it.
_TELLING = frozenset({"n", "e", "g", "iot", "azure", "nohyperv", "workstation", "multipoint", "itanium", "hpc", "web"})
#: Releases of a product that has a year, as Windows names them; beside a year they say nothing new.
_RELEASE_OF_SERVER = {"1607": "2016", "1809": "2019", "21h2": "2022", "24h2": "2025"}
_BUILD_OF_SERVER = {"14393": "2016", "17763": "2019", "20348": "2022", "26100": "2025"}
_RELEASE_OF_LTSC = {"1507": "2015", "1607": "2016", "1809": "2019", "21h2": "2021", "24h2": "2024"}
_YEAR = re.compile(r"20[012]\d$")
_BUILD = re.compile(r"[12]\d{4}$")
_RELEASE = re.compile(r"(1[5-9]0[1-9]|1[5-9]1[0-2]|2004|2\dh[12])$")
#: The internal version of Office, for names in which nothing else gives the year.
_OFFICE_NUMBER = {"14": "2010", "15": "2013", "16": "2016", "19": "2019", "21": "2021", "24": "2024"}
#: The years of Windows Server as people shorten them ("ws16").
_YEARS_OF_SERVER = frozenset({"08", "12", "16", "19", "22", "25"})
#: Words that the Office Deployment Tool writes for the volume editions of 2016, which have no year in their id.
_VOLUME_2016 = re.compile(
    r"^(ProPlus|Standard|ProjectPro|ProjectStd|VisioPro|VisioStd|Access|Excel|OneNote|Outlook|PowerPoint|Publisher|"
    r"SkypeforBusiness|Word)X?Volume$",
    re.IGNORECASE,
)
#: An id of the Office Deployment Tool, or a licence's name: only Office has these.
_VOLUME = re.compile(r"20\d\dVolume\s*$|VL[_-]KMS_Client", re.IGNORECASE)


def words(name: str) -> frozenset[str]:
    """The words of a name, each in one spelling, without those that distinguish nothing."""
    found = list(_spelled(_pieces(name)))
    if _VOLUME_2016.match(name.strip()):
        found += ["2016", "office"]
    elif _VOLUME.search(name):
        found.append("office")
    kept = set(found)
    return frozenset(_with_year(kept, name))


def variants(name: str) -> Iterator[frozenset[str]]:
    """The words of each product that a name of the catalogue stands for.

    "Windows 11 / 10 Pro" stands for two, "Windows Server 20H2, 2004, ... Datacenter" for five.
    """
    if shared := re.fullmatch(r"(Windows Server) ((?:\w{4}, )+\w{4}) (\w+)", name):
        for release in shared[2].split(", "):
            yield words(f"{shared[1]} {release} {shared[3]}")
        return
    for part in name.split(", Windows "):
        alone = part if part.startswith("Windows") or ", Windows " not in name else f"Windows {part}"
        if either := re.fullmatch(r"(.*?)(\d+) / (\d+)(.*)", alone):
            for version in (either[2], either[3]):
                yield words(f"{either[1]}{version}{either[4]}")
                if "IoT" in alone:
                    yield words(f"Windows {_IOT_WINDOWS[version]} IoT Enterprise LTSC {version}")
        else:
            yield words(alone)


#: The Windows that an IoT LTSC of a year is.
_IOT_WINDOWS = {"2024": "11", "2021": "10"}


def means(asked: frozenset[str], meant: frozenset[str]) -> bool:
    """Whether words are exactly those of a product, apart from the name of its line."""
    return asked - LINES - _implied(meant) == meant - LINES - _implied(meant) and asked & LINES <= _lines(meant)


def fits(asked: frozenset[str], meant: frozenset[str]) -> bool:
    """Whether words are some of a product's, and leave out none by which editions differ."""
    return could_be(asked, meant) and _telling(meant) <= asked


def could_be(asked: frozenset[str], meant: frozenset[str]) -> bool:
    """Whether words are some of a product's: a person might mean it."""
    return bool(asked - LINES) and asked <= meant | _implied(meant) | _lines(meant)


def _implied(meant: frozenset[str]) -> frozenset[str]:
    if "windows" in meant:
        return frozenset()
    # Since Office 2021 only the LTSC editions activate by KMS. Professional may mean Professional Plus.
    return frozenset(
        (*(("ltsc",) if meant & {"2021", "2024"} else ()), *(("professional",) if "proplus" in meant else ()))
    )


def _lines(meant: frozenset[str]) -> frozenset[str]:
    return meant & LINES if "windows" in meant else frozenset({"office"})


def _telling(meant: frozenset[str]) -> frozenset[str]:
    """What a name must not leave out: also LTSC for Windows, and Education for Pro Education."""
    also = {"ltsc"} if "windows" in meant else set()
    return (meant & (_TELLING | also)) | ({"education"} if {"professional", "education"} <= meant else set())


_SHORT_YEAR = re.compile(r"2k(\d\d?)")


def _pieces(name: str) -> Iterator[str]:
    """The name cut at spaces and signs, at capital letters, and between letters and digits."""
    text = name
    for pattern, word in COMPOUNDS:
        text = re.sub(pattern, word, text)
    text = _SHORT_YEAR.sub(lambda found: f"20{int(found[1]):02d} ", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    for part in re.split(r"[\s_/,;:()\[\]+®™\"'-]+", text.casefold()):
        yield from _parts(part)


def _parts(part: str) -> Iterator[str]:
    """A piece cut where letters meet digits; 8.1, 20h2 and r2 stay whole, joined words are cut apart."""
    for piece in re.findall(r"2\dh[12](?!\d)|\d+\.\d+|\d+|[^\W\d]+2(?![\d.])|[^\W\d]+", part):
        if re.fullmatch(r"[^\W\d]+2", piece):
            if piece.endswith("r2"):
                yield from _cut(piece[:-2])
                yield "r2"
            else:
                yield from _cut(piece[:-1])
                yield "2"
        else:
            yield from _cut(piece)


def _cut(piece: str) -> Iterator[str]:
    """Words that were written together: enterprisen, officeproplus."""
    if not piece:
        return
    if piece in _ONE_SPELLING or piece in FILLING or not piece.isalpha():
        yield piece
        return
    for spelling in _GLUED:
        if piece.startswith(spelling) and (rest := list(_cut_whole(piece[len(spelling) :]))):
            yield spelling
            yield from rest
            return
    yield piece


def _cut_whole(piece: str) -> list[str]:
    """The rest of a joined word, if it consists of words and of letters that tell editions apart; else nothing."""
    if piece in _ONE_SPELLING or piece in FILLING or piece in _TELLING:
        return [piece]
    for spelling in _GLUED:
        if piece.startswith(spelling) and (rest := _cut_whole(piece[len(spelling) :])):
            return [spelling, *rest]
    return []


def _spelled(pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        word = _ONE_SPELLING.get(piece, piece)
        if word == "sharepoint" or word not in FILLING:
            yield word
        if piece == "sfb":
            yield "business"
        if word == "skype":
            yield "business"


def _with_year(found: set[str], name: str) -> Iterator[str]:
    """The version in one form: 2008 and R2 are one word, a release is left out beside a year, 14 is Office 2010."""
    years = {word for word in found if _YEAR.match(word) and word != "2004"}
    releases = {word for word in found if _RELEASE.match(word)}
    builds = {word for word in found if _BUILD.match(word)}
    rest = found - years - releases - builds
    if "ltsb" in name.casefold() or ("ltsc" in rest and releases and "office" not in rest):
        rest.add("windows")  # No Office was an LTSB, and no release names one.
    if "core" in rest and rest & {"standard", "datacenter"}:
        rest.add("server")
    if "server" in rest:
        years = years or _years_of_server(releases, builds, ltsc="ltsc" in rest)
        rest.discard("ltsc")  # A server with a year is one in any case.
    if "ltsc" in rest and "windows" in rest and not years:
        years = {_RELEASE_OF_LTSC[word] for word in releases if word in _RELEASE_OF_LTSC}
        releases = set() if years else releases
    if releases and ("ltsc" in rest or rest & {"10", "11"}):
        releases = set()  # Every release of Windows 10 and 11 takes the same key.
    releases = {word for word in releases if _RELEASE_OF_SERVER.get(word) not in years}
    if "server" in rest and not years and len(short := rest & _YEARS_OF_SERVER) == 1:
        years = {f"20{number}" for number in short}
        rest -= short
    if "r2" in rest:
        rest.discard("r2")
        years = {f"{year}r2" for year in years} or {"r2"}
    numbers = rest & set(_OFFICE_NUMBER)
    if numbers and "windows" not in rest:
        rest -= numbers
        sure = years or rest & OF_OFFICE or re.search(r"(?i)kms|vl", name)
        years = years or ({_OFFICE_NUMBER[number] for number in numbers} if sure else numbers)
    if "server" in rest:
        rest -= {"core", "desktop", "experience", "full", "gui"}
        rest.add("windows")
    yield from rest | years | releases


def _years_of_server(releases: set[str], builds: set[str], *, ltsc: bool) -> set[str]:
    """The year of a server from its build or release. Some releases had two servers: LTSC says which is meant."""
    sure = set(_RELEASE_OF_SERVER) if ltsc else {"21h2", "24h2"}
    told = [_BUILD_OF_SERVER.get(build) for build in builds]
    told += [_RELEASE_OF_SERVER[release] for release in releases & sure]
    return {year for year in told if year}


# Bounded, since beside the catalogue's names it is given whatever somebody asks for.
@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    """A name in lower case with single spaces, for a comparison of whole names."""
    return " ".join(name.split()).casefold()
