"""From a TOML file and the command line to a `Config`: all mistakes at once, each with its place and its cure.

There are three layers, each overriding the one before: the model's defaults, the file, the options. Each value of the
result knows where it comes from. The model checks every value, whatever its layer, so a mistake on the command line
reads like one in the file, with the option as its place.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kmstwist.configuration.mistakes import ConfigError, not_toml
from kmstwist.configuration.model import Config
from kmstwist.configuration.places import Place, line_numbers
from kmstwist.problem import Problem
from kmstwist.sections import Contradictions, Fault, is_secret
from kmstwist.shown import HIDDEN
from kmstwist.toml import read_toml
from kmstwist.validation import causes, problem_of, shown

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Override:
    """A value given by an option of the command line, in the form in which a file would give it."""

    place: Place
    value: object
    option: str


@dataclass(frozen=True, slots=True)
class Effective:
    """A configuration, and where each of its values comes from.

    `origins` say it in words: "default", a file and its line, or an option. `lines` are the lines in `file` of those
    values that stand there.
    """

    config: Config
    file: Path | None = None
    origins: Mapping[Place, str] = field(default_factory=dict)
    lines: Mapping[Place, int] = field(default_factory=dict)

    def values(self) -> Iterator[tuple[Place, object, str]]:
        """Every value with its place and its origin, in the model's order."""
        for place, value in leaves(self.config):
            yield place, value, self.origins.get(place, DEFAULT)


def leaves(model: BaseModel, place: Place = ()) -> Iterator[tuple[Place, object]]:
    """The values of a model and of the sections in it, in order."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*place, name))
        else:
            yield (*place, name), value


def load(file: Path | None, overrides: Sequence[Override] = ()) -> Effective:
    """The effective configuration. Raises `ConfigError`."""
    raw: dict[str, Any] = {}
    lines: dict[Place, int] = {}
    if file is not None:
        text = _read(file)
        try:
            raw = read_toml(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([not_toml(file, error)]) from None
        lines = line_numbers(text)
        if "\\u0" in text.lower() and (nul := [place for place, value in _texts(raw) if "\0" in value]):
            said = "holds a NUL character, which is in no name and no path"
            raise ConfigError([_at_its_line(Problem(said), place, file, lines)[1] for place in nul])
    if unreadable := [_visible_option(one) for one in overrides if not _is_text(one.value)]:
        # From the command line or the environment, which may contain any bytes; a file has been decoded already.
        raise ConfigError([Problem("is not text in UTF-8", where=option) for option in unreadable])
    places = {override.place: override.option for override in overrides}
    for override in overrides:
        _set(raw, override)
    try:
        # Through JSON: pydantic's strict mode then accepts an array for a tuple, but not a text for a number.
        config = Config.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(_problems(error, file, lines, places)) from None
    if config.server.workers > 1 and not config.gateway.configured:
        place = ("server", "workers")
        where = places.get(place) or f"{_where(file, lines, place)}: {_dotted(place)}"
        said = "several workers need a gateway, and no upstream is named: a lab's count lives in one process"
        raise ConfigError([Problem(said, where=where)])
    in_file = [place for place, _ in leaves(config) if place not in places and _given(raw, place)]
    origins = {**places, **{place: _where(file, lines, place) for place in in_file}}
    return Effective(config, file, origins, {place: line for place in in_file if (line := _line_of(lines, place))})


def _texts(value: object, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """The texts in a file's values, each with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*place, str(name)))


def _is_text(value: object) -> bool:
    try:
        json.dumps(value, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _visible_option(override: Override) -> str:
    return override.option.encode("utf-8", "backslashreplace").decode()


def _missing(file: Path) -> Problem:
    if file.is_symlink():
        return Problem(
            f"is a link to {file.readlink()}, which does not exist", "make that file, or the link anew", str(file)
        )
    return Problem("there is no such file", "check how its name is spelt", str(file))


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
    except IsADirectoryError:
        raise ConfigError([Problem("is a folder", "name a file", str(file))]) from None
    except FileNotFoundError:
        raise ConfigError([_missing(file)]) from None
    except PermissionError as error:
        raise ConfigError([Problem(f"cannot be read: {error.strerror}", "run it with sudo", str(file))]) from None
    except OSError as error:
        raise ConfigError([Problem(f"cannot be read: {error.strerror}", where=str(file))]) from None
    try:
        # Some editors begin a file with a byte order mark, which TOML does not allow.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem("not UTF-8 text", "save the file as UTF-8", f"{file}:{line}")]) from None


def _set(raw: dict[str, Any], override: Override) -> None:
    table = raw
    for name in override.place[:-1]:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            # The file has a value in place of a section; the model will report that.
            return
        table = inner
    table[override.place[-1]] = override.value


def _given(raw: Mapping[str, Any], place: Place) -> bool:
    table: object = raw
    for name in place:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True


def _where(file: Path | None, lines: Mapping[Place, int], place: Place) -> str:
    """The file, and the line of a place or of the nearest known place around it."""
    line = _line_of(lines, place)
    return f"{file}:{line}" if line else str(file)


def _line_of(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place or of the nearest known place around it; 0 if there is none."""
    return next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 0)


#: How many letters of a key are shown.
_LONGEST_NAME = 80

# Problems, each with its position among the others: its line, or 0 if it is from the command line.


def _problems(
    error: ValidationError, file: Path | None, lines: Mapping[Place, int], options: Mapping[Place, str]
) -> list[Problem]:
    found: list[tuple[int, Problem]] = []
    for details in causes(error.errors(include_url=False)):
        *outer, last = details["loc"] or ("",)
        place = tuple(str(part) for part in outer if not _is_union_branch(part))
        # An unknown key may look like anything.
        if details["type"] == "extra_forbidden" or not _is_union_branch(last):
            place += (str(last),)
        contradictions = details.get("ctx", {}).get("error")
        if isinstance(contradictions, Contradictions):
            for fault in contradictions.faults:
                places = [(*place, *inner) for inner in fault.places]
                found.append(_contradiction(fault, places, file, lines, options))
            continue
        option = _option_of(place, options)
        if option is None and place not in lines:
            # If the file does not have the section, its contradictions come from the options for its values.
            option = " ".join(text for at, text in options.items() if at[: len(place)] == place) or None
        if option is not None:
            # The option shows the value already.
            found.append((0, replace(_problem(details, place, ""), where=option)))
        else:
            found.append(_at_its_line(_problem(details, place), place, file, lines))
    ordered = sorted(found, key=lambda each: (each[0], str(each[1])))
    return list(dict.fromkeys(problem for _, problem in ordered))


def _contradiction(
    fault: Fault, places: Sequence[Place], file: Path | None, lines: Mapping[Place, int], options: Mapping[Place, str]
) -> tuple[int, Problem]:
    """A contradiction between values, with their options, or with the line of the value to change."""
    given = {option for place in places if (option := _option_of(place, options))}
    if given:
        # In the order in which options are listed, whatever the order of the places.
        where = " ".join(text for text in dict.fromkeys(options.values()) if text in given)
        return 0, Problem(fault.said, fault.cure, where)
    # A value with its default is not in the file.
    place = next((place for place in places if place in lines), places[0])
    return _at_its_line(Problem(fault.said, fault.cure), place, file, lines)


def _at_its_line(problem: Problem, place: Place, file: Path | None, lines: Mapping[Place, int]) -> tuple[int, Problem]:
    where = f"{_where(file, lines, place)}: {_dotted(place)}"
    return _line_of(lines, place), replace(problem, where=where)


def _option_of(place: Place, options: Mapping[Place, str]) -> str | None:
    """The option for a place, or for a place that contains it."""
    return next((options[place[:n]] for n in range(len(place), 0, -1) if place[:n] in options), None)


def _is_union_branch(part: int | str) -> bool:
    # pydantic names the branch of a union that it tried, which is not a place in a file.
    return isinstance(part, str) and not re.fullmatch(r"[A-Za-z0-9_-]+", part)


def _dotted(place: Place) -> str:
    """A place as administrators write it, counted from 1: gateway.upstreams[2].address."""
    text = ""
    for part in place:
        name = part if len(part) <= _LONGEST_NAME else f"{part[:_LONGEST_NAME]}..."
        name = json.dumps(name, ensure_ascii=False) if _is_union_branch(name.rstrip(".")) else name
        text += f"[{int(part) + 1}]" if part.isdigit() else f".{name}" if text else name
    return text


def _problem(details: ErrorDetails, place: Place, given: str | None = None) -> Problem:
    """The problem, without its place; `given` as in `problem_of`."""
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing":
        return Problem("is missing", f"every {_table(place[:-1])} table needs it")
    if _model_at(place) is not None and (kind == "tuple_type" or place[-1].isdigit()):
        shown_as = _shown(details["input"], place)
        return Problem(f"must be a table with [[{_table(place)}]] above it, for each; not {shown_as}")
    return problem_of(details, _shown(details["input"], place) if given is None else given)


def _table(place: Place) -> str:
    """The name of the list of tables that a place is in: gateway.upstreams."""
    return ".".join(itertools.takewhile(lambda part: not part.isdigit(), place))


def _shown(value: object, place: Place) -> str:
    return HIDDEN if secret_at(place) else shown(value)


#: Names that people write for options with another name, each with the option's real place.
_KNOWN_AS: dict[Place, Place] = {("gateway", "dns_servers"): ("dns", "servers")}


def _unknown_key(place: Place) -> Problem:
    no_such = "no such option"
    if meant := _KNOWN_AS.get(place):
        return Problem(no_such, f"the DNS servers to ask are {meant[-1]} in [{'.'.join(meant[:-1])}]")
    model = _model_at(place[:-1])
    known = list(model.model_fields) if model is not None else []
    near = difflib.get_close_matches(place[-1].casefold().replace("-", "_"), known, n=1)
    if near:
        return Problem(no_such, f"did you mean {near[0]}?")
    elsewhere = [p for p in _all_places(Config) if p[-1] == place[-1]]
    if elsewhere:
        return Problem(f"{no_such} here", f"it belongs to [{'.'.join(elsewhere[0][:-1])}]")
    return Problem(no_such, f"there are {', '.join(known)}")


def _model_at(place: Place) -> type[BaseModel] | None:
    model: type[BaseModel] = Config
    for name in place:
        if name.isdigit():
            continue
        info = model.model_fields.get(name)
        inner = None if info is None else model_in(info.annotation)
        if inner is None:
            return None
        model = inner
    return model


def secret_at(place: Place) -> bool:
    """Whether the value at a place must not be shown."""
    named = tuple(name for name in place if not name.isdigit())
    model = _model_at(named[:-1])
    info = None if model is None else model.model_fields.get(named[-1])
    return info is not None and is_secret(info)


def model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation names, or that its items have."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := model_in(inner)) is not None), None)


def _all_places(model: type[BaseModel], place: Place = ()) -> Iterator[Place]:
    for name, info in model.model_fields.items():
        yield (*place, name)
        inner = model_in(info.annotation)
        if inner is not None:
            yield from _all_places(inner, (*place, name))
