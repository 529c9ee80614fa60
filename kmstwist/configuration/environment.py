"""The environment as a layer of the configuration: `KMSTWIST_SECTION__KEY`, over the file and under the command line.

The name is the value's place in capitals, its parts joined by two underscores: `KMSTWIST_GATEWAY__POOL__FLOOR` is
`floor` in `[gateway.pool]`. The model says how to read the text: as a number, true or false, or a list, with commas
between its items or as in TOML. A list of tables is also written in TOML, or for `[[gateway.upstreams]]` just as the
addresses. A variable whose name ends in `_FILE` names a file that holds the value, for secrets.

Names with only one underscore (`KMSTWIST_AUDIT_STORE`) do not belong to the configuration.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel

from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.model import Config
from kmstwist.configuration.places import Place
from kmstwist.configuration.reading import Override, model_in
from kmstwist.problem import Problem, WrongValue
from kmstwist.toml import read_toml

PREFIX = "KMSTWIST_"
#: The most bytes of such a file: one that is named by mistake is not read whole.
MAX_FILE = 1 << 20
_FROM_FILE = "_FILE"
#: Variables of commands, which look like misspelt options of the configuration.
_OF_COMMANDS = frozenset({"KMSTWIST_AUDIT_STORE"})
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def variable(place: Place) -> str:
    """The name of the variable that sets the value at a place."""
    return PREFIX + "__".join(place).upper()


def settable(model: type[BaseModel] = Config, place: Place = ()) -> Iterator[tuple[Place, object]]:
    """Every value that a variable can set: its place and its type. The tables of a list are set as a whole."""
    for name, info in model.model_fields.items():
        inner = model_in(info.annotation)
        if inner is not None and _list_of(info.annotation) is None:
            yield from settable(inner, (*place, name))
        else:
            yield (*place, name), info.annotation


def overrides(environment: Mapping[str, str]) -> list[Override]:
    """The values that the environment sets, in the order of the model. Raises `ConfigError` with all mistakes."""
    known = {variable(place): (place, kind) for place, kind in settable()}
    found: dict[str, Override] = {}
    mistakes = []
    for name, text in environment.items():
        plain = name.removesuffix(_FROM_FILE) if name not in known else name
        if plain not in known:
            if said := _unknown(name, known):
                mistakes.append(replace(said, where=name))
            continue
        if plain in found:
            mistakes.append(Problem(f"{plain} and {plain}{_FROM_FILE} are both set", "keep one", name))
            continue
        place, kind = known[plain]
        try:
            value = _value(text if plain == name else _content(text), kind)
        except ValueError as error:
            mistakes.append(Problem.of(error, name))
            continue
        found[plain] = Override(place, value, name)
    if mistakes:
        raise ConfigError(sorted(mistakes, key=str))
    return [found[name] for name in known if name in found]


def _unknown(name: str, known: Mapping[str, object]) -> Problem | None:
    """What is wrong with the name of an unknown variable; None if it does not belong to the configuration."""
    if not name.startswith(PREFIX) or name in _OF_COMMANDS:
        return None
    flat = {each.replace("__", "_"): each for each in known}
    if "__" not in name:
        meant = flat.get(name) or flat.get(name.removesuffix(_FROM_FILE))
        cure = f"write {meant}, with two underscores between section and key"
        return Problem("no such option", cure) if meant else None
    near = difflib.get_close_matches(name.removesuffix(_FROM_FILE), known, n=1)
    return Problem("no such option", f"did you mean {near[0]}?" if near else "kmstwist config show lists them")


def _content(path: str) -> str:
    """The text of a file, without the end of its last line. Raises `ValueError`."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise WrongValue(f"{path} is larger than {MAX_FILE >> 20} MiB", "name the file that holds the value alone")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def _value(text: str, kind: object) -> object:
    """The value in the form in which a file would give it. Raises `ValueError` for a text that is not one."""
    item = _list_of(kind)
    if item is not None:
        return _list(text, item)
    kinds = _plain(kind)
    if bool in kinds:
        if text.strip().casefold() not in _WORDS:
            raise ValueError("must be true or false")
        return _WORDS[text.strip().casefold()]
    for number, wanted in ((int, "a whole number"), (float, "a number")):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                raise ValueError(f"must be {wanted}") from None
    return text


def _list(text: str, item: object) -> list[object]:
    if text.lstrip().startswith("["):
        try:
            found = read_toml(f"list = {text}")["list"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"not a list as TOML writes it: {str(error).partition(' (at')[0]}") from None
        if not isinstance(found, list):
            raise ValueError("must be a list")
        return found
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        # A gateway for which somebody forgot the hosts must not become a lab.
        raise ValueError("is empty; unset the variable, or write [] for an empty list")
    model = model_in(item)
    if model is None:
        return [_value(part, item) for part in parts]
    # For a table only its first key, the one that is required.
    first = next(iter(model.model_fields))
    return [{first: part} for part in parts]


def _list_of(kind: object) -> object:
    """The type of a list's items; None if it is not a list."""
    if get_origin(kind) is Annotated:
        return _list_of(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        return next((found for each in get_args(kind) if (found := _list_of(each)) is not None), None)
    return None


def _plain(kind: object) -> set[object]:
    """The simple types that a value may have."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return set().union(*(_plain(each) for each in get_args(kind)))
    return set() if kind is NoneType else {kind}
