"""The configuration in words: the commented file that is installed, the reference, and what is in force.

All are made from the models, so that none can name an option that does not exist, or leave one out.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kmstwist.configuration.environment import variable
from kmstwist.configuration.model import Config
from kmstwist.configuration.options import OPTIONS
from kmstwist.configuration.places import Place
from kmstwist.configuration.reading import Effective, model_in, secret_at
from kmstwist.sections import needs_restart
from kmstwist.shown import HIDDEN, url_without_password

_WIDTH = 100
_HEAD = """\
# The configuration of kmstwist: every option with its default.
#
# Start with:          twistd kms --config /etc/kmstwist/kmstwist.toml
# Check it with:       kmstwist config check /etc/kmstwist/kmstwist.toml
# Apply a change with: kmstwist config reload   (or SIGHUP; no connection is dropped)
#
# A commented option shows its default, or an example where it has none. Durations are in seconds unless stated
# otherwise. Options on the command line override this file.
"""


def toml_value(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, BaseModel):
        inner = ", ".join(f"{name} = {toml_value(getattr(value, name))}" for name in type(value).model_fields)
        return f"{{ {inner} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)


def effective_toml(effective: Effective) -> str:
    """The configuration in force as TOML, with each value's origin. It can be read back, except for passwords."""
    lines: list[str] = []
    section: Place | None = None
    for place, value, origin in sections_first(effective):
        if place[:-1] != section:
            section = place[:-1]
            lines += [*([""] if lines else []), f"[{'.'.join(section)}]"]
        if value is None:
            lines.append(f"# {place[-1]} is not set  # {origin}")
        else:
            shown = toml_value(_hidden(value) if secret_at(place) else _shown(value))
            lines.append(f"{place[-1]} = {shown}  # {origin}")
    return "\n".join(lines) + "\n"


def effective_json(effective: Effective) -> list[dict[str, Any]]:
    """The configuration in force, each value with its place and origin, for JSON; passwords are hidden as in TOML."""
    return [
        {
            "option": ".".join(place),
            "value": _plain(_hidden(value) if secret_at(place) else value),
            "origin": origin,
        }
        for place, value, origin in sections_first(effective)
    ]


def _shown(value: object) -> object:
    """A value without the passwords of URLs in it."""
    if isinstance(value, str):
        return url_without_password(value)
    return tuple(map(_shown, value)) if isinstance(value, tuple) else value


def _plain(value: object) -> object:
    """A value for JSON, without the passwords of URLs in it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return url_without_password(str(value))


def _hidden(urls: object) -> tuple[str, ...] | None:
    """URLs reduced to their kind, which is all that may be shown."""
    return tuple(f"{url.partition('://')[0]}://{HIDDEN}" for url in urls) if isinstance(urls, tuple) else None


def sections_first(effective: Effective) -> Iterator[tuple[Place, object, str]]:
    """The values, a section's own before those of the sections within it, as TOML requires."""
    by_section: dict[Place, list[tuple[Place, object, str]]] = {}
    for entry in effective.values():
        by_section.setdefault(entry[0][:-1], []).append(entry)
    for section in sorted(by_section, key=lambda place: _section_order(place)):
        yield from by_section[section]


def _section_order(place: Place) -> tuple[int, ...]:
    order: list[int] = []
    model: type[BaseModel] | None = Config
    for name in place:
        assert model is not None
        order.append(list(model.model_fields).index(name))
        model = model_in(model.model_fields[name].annotation)
    return tuple(order)


def commented_toml() -> str:
    """The configuration file that is installed: every option commented out at its default."""
    return _HEAD + "\n".join(_commented(Config, ()))


def _commented(model: type[BaseModel], place: Place) -> Iterator[str]:
    plain = [(name, info) for name, info in model.model_fields.items() if not _is_section(info)]
    simple = [(name, info) for name, info in plain if model_in(info.annotation) is None]
    if place and simple:
        yield ""
        yield from _comment(_prose(model, place))
        yield f"[{'.'.join(place)}]"
        for name, info in simple:
            yield ""
            yield from _comment(_described(info))
            yield f"#{name} = {toml_value(_shown_default(name, info))}"
    for name, info in plain:
        table = model_in(info.annotation)
        if table is not None:
            yield ""
            yield from _comment(_prose(table, (*place, name)))
            yield f"#[[{'.'.join((*place, name))}]]"
            for inner, inner_info in table.model_fields.items():
                yield from _comment(inner_info.description or "")
                yield f"#{inner} = {toml_value(_shown_default(inner, inner_info))}"
    for name, info in model.model_fields.items():
        if _is_section(info):
            inner_model = model_in(info.annotation)
            assert inner_model is not None
            yield from _commented(inner_model, (*place, name))
    if not place:
        yield ""


#: The example for an option that has no default, or an empty one, and no example of its own.
_EXAMPLES: dict[str, Any] = {
    "address": "kms1.example.com",
    "name": "kms1",
    "listen": ("10.0.0.1:1688",),
    "state_dir": "/var/lib/kmstwist",
    "run_dir": "/run/kmstwist",
    "discover": "corp.example.com",
    "deny": ("10.66.0.0/16",),
    "proxy_from": ("10.0.0.5",),
}


def _shown_default(name: str, info: FieldInfo) -> object:
    default = info.get_default(call_default_factory=True)
    if default not in (None, (), "", PydanticUndefined):
        return default
    return info.examples[0] if info.examples else _EXAMPLES[name]


def _is_section(info: FieldInfo) -> bool:
    return isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)


_RESTART = " Changing it needs a restart."


def _prose(model: type[BaseModel], place: Place) -> str:
    """What a section is for, and whether a change of it needs a restart.

    The text is the model's docstring, which pydantic takes for a model's description too.
    """
    text = " ".join((model.__doc__ or "").split())
    outer: type[BaseModel] | None = Config
    restart = ""
    for name in place:
        assert outer is not None
        info = outer.model_fields[name]
        restart = restart or (_RESTART if needs_restart(info) else "")
        outer = model_in(info.annotation)
    return text + restart


def _described(info: FieldInfo) -> str:
    """What an option does, and whether a change of it needs a restart."""
    return (info.description or "") + (_RESTART if needs_restart(info) else "")


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH)]


def reference_page() -> str:
    """`docs/reference/configuration.md`: every section and option."""
    options = {option.place: option.name for option in OPTIONS}
    lines = [
        "# The configuration file",
        "",
        "<!-- Made from the program by `make docs`. -->",
        "",
        "The configuration is a TOML file, given with `twistd kms --config FILE`. Every option may be left out.",
        "`kmstwist config check FILE` reports all mistakes at once; `kmstwist config show` prints the configuration in",
        "force and where each value comes from. Options on the command line override the file. Durations are in",
        "seconds unless stated otherwise. `kmstwist config reload` applies a changed file to a running server; options",
        "that need a restart say so below.",
        "",
        "The environment comes between file and command line: an option's variable is named after its section and key",
        "in capitals, with two underscores between them. Separate the items of a list by commas, or write it as in",
        "TOML (an empty one as `[]`: an empty variable is a mistake). For `[[gateway.upstreams]]`, give the addresses:",
        "`KMSTWIST_GATEWAY__UPSTREAMS=kms1.example.com,kms2:1690`. A variable whose name ends in `_FILE` names a file",
        "that contains the value, as containers provide secrets:",
        "`KMSTWIST_AUDIT__FORWARD_TO_FILE=/run/secrets/forward_to`.",
    ]
    for place, model, is_table in _all_models(Config, ()):
        if not place:
            continue
        title = ".".join(place)
        lines += ["", f"## `{f'[[{title}]]' if is_table else f'[{title}]'}`", "", _prose(model, place), ""]
        lines += ["| option | default | meaning | on the command line | in the environment |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for name, info in model.model_fields.items():
            if _is_section(info):
                continue
            default = info.get_default(call_default_factory=True)
            shown = "" if default in (None, PydanticUndefined, "") else f"`{toml_value(default)}`"
            option = options.get((*place, name))
            named = "" if is_table else f"`{variable((*place, name))}`"
            line = f"| `{name}` | {shown} | {_described(info)} | {f'`--{option}`' if option else ''} | {named} |"
            lines.append(re.sub(r"\[\[[a-z.]+\]\]", r"`\g<0>`", line))
    return "\n".join(lines) + "\n"


def _all_models(
    model: type[BaseModel], place: Place, *, is_table: bool = False
) -> Iterator[tuple[Place, type[BaseModel], bool]]:
    """Every section, with whether it is a table of a list."""
    yield place, model, is_table
    for name, info in model.model_fields.items():
        inner = model_in(info.annotation)
        if inner is not None:
            yield from _all_models(inner, (*place, name), is_table=not _is_section(info))
