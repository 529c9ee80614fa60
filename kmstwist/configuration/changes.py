"""What a changed configuration changes: read again, checked against the one in force, and compared with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import BaseModel
from twisted.logger import Logger

from kmstwist.configuration.derived import refuse_ourselves
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.model import Config
from kmstwist.configuration.places import Place
from kmstwist.configuration.reading import Effective, leaves
from kmstwist.logevents import CONFIG_REFUSED
from kmstwist.problem import Problem
from kmstwist.sections import needs_restart as marked
from kmstwist.startup import StartupError


def _needing_restart(model: type[BaseModel], place: Place = ()) -> Iterator[Place]:
    """The places that the model marks as needing a restart; a section stands for all that is in it."""
    for name, info in model.model_fields.items():
        if marked(info):
            yield (*place, name)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _needing_restart(info.annotation, (*place, name))


#: What cannot change while the process runs.
NEEDS_RESTART: tuple[Place, ...] = tuple(_needing_restart(Config))


def read_again(load: Callable[[], Effective], started: Config, log: Logger) -> Effective:
    """The configuration as it is now.

    Raises `ConfigError`, and logs its mistakes, if it cannot follow the one that was in force at the start.
    """
    try:
        new = load()
        _refuse_other_mode(started, new.config)
        # Not now, and not at the next start either, which would refuse it.
        _refuse_circle(new, in_force(started, new.config))
        _refuse_circle(new, new.config)
    except ConfigError as error:
        for mistake in error.mistakes:
            CONFIG_REFUSED.emit(log, detail=str(mistake))
        raise
    return new


def in_force(started: Config, new: Config) -> Config:
    """The configuration in force until a restart: the new one, but with the values of the start that need a restart."""
    config: BaseModel = new
    for place in NEEDS_RESTART:
        config = _with(config, place, started)
    assert isinstance(config, Config)
    return config


def _with(model: BaseModel, place: Place, source: BaseModel) -> BaseModel:
    """The model with what stands at a place in `source`."""
    name, *rest = place
    theirs = getattr(source, name)
    return model.model_copy(update={name: _with(getattr(model, name), tuple(rest), theirs) if rest else theirs})


def needs_restart(place: Place) -> bool:
    """Whether a value cannot change while the process runs."""
    return any(place[: len(part)] == part for part in NEEDS_RESTART)


def changes(old: Config, new: Config) -> list[Place]:
    """The places whose values differ."""
    return [place for (place, before), (_, after) in zip(leaves(old), leaves(new), strict=True) if before != after]


def _refuse_circle(new: Effective, config: Config) -> None:
    try:
        refuse_ourselves(config)
    except StartupError as error:
        where = new.origins.get(("gateway", "upstreams"), "gateway.upstreams")
        raise ConfigError([Problem.of(error, where)]) from None


def _refuse_other_mode(old: Config, new: Config) -> None:
    if old.gateway.configured != new.gateway.configured:
        was, would = ("a gateway", "a lab") if old.gateway.configured else ("a lab", "a gateway")
        raise ConfigError(
            [
                Problem(
                    f"this would turn {was} into {would}",
                    "restart kmstwist if that is meant",
                    "gateway.upstreams",
                )
            ]
        )
