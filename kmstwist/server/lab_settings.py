"""What `kmstwist lab slmgr host` set, as far as the configuration leaves it open.

An administrator who practises `slmgr /sai` on the lab host expects it to hold after a restart. What the configuration
file or the command line says goes first: it is the more deliberate of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from kmstwist.configuration.derived import state_dir
from kmstwist.configuration.model import Config
from kmstwist.startup import StartupError

# A gateway has no use for them.
if TYPE_CHECKING:
    from kmstwist.lab.host_settings import HostSettings

ModelT = TypeVar("ModelT", bound=BaseModel)


def as_set_with_slmgr(config: Config) -> Config:
    """The configuration with the lab host's own settings in the places it leaves open. Raises `StartupError`."""
    from kmstwist.lab.errors import LabFileError
    from kmstwist.lab.store import STORE_FILE_NAME, LabStore

    path = state_dir(config) / STORE_FILE_NAME
    try:
        if not path.exists():
            return config
    except OSError as error:
        raise StartupError(
            f"the state folder {path.parent} cannot be used: {error.strerror}",
            "name one that this user may write (--state-dir)",
        ) from None
    try:
        store = LabStore(path)
        try:
            settings = store.load_settings()
        finally:
            store.close()
    except LabFileError as error:
        raise StartupError.of(error) from None
    return with_settings(config, settings)


def with_settings(config: Config, settings: HostSettings) -> Config:
    """The configuration with these settings where it is silent; `/cdns` stops publishing whatever it says."""
    lab = _filled(
        config.lab,
        activation_interval=settings.activation_interval,
        renewal_interval=settings.renewal_interval,
    )
    server = config.server if config.server.listen else _filled(config.server, port=settings.port)
    dns = config.dns
    if settings.publishes is False:
        dns = dns.model_copy(update={"publish": dns.publish.model_copy(update={"domains": ()})})
    return config.model_copy(update={"lab": lab, "server": server, "dns": dns})


def _filled(section: ModelT, **values: object) -> ModelT:
    open_ = {name: value for name, value in values.items() if value is not None}
    return section.model_copy(
        update={name: value for name, value in open_.items() if name not in section.model_fields_set}
    )
