"""The `[audit]` sections of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from kmstwist.audit.central.url import wrong_in_url
from kmstwist.audit.plain.defaults import BATCH, GATHER, LAB_STORE_FILE_NAME, QUEUE, STORE_FILE_NAME, OnFailure
from kmstwist.audit.privacy import Keep, PrivacyPolicy
from kmstwist.audit.upkeep.limits import DAY_MS, FLOOR, Limits
from kmstwist.problem import WrongValue
from kmstwist.sections import Section

_MEBIBYTE = 1 << 20
_DAYS_MAX = (1 << 53) // DAY_MS


class PrivacySettings(Section):
    """How each field is stored: full, truncate, hash or drop. A dropped field is never stored."""

    client: Literal["full", "truncate", "hash"] = Field("full", description="The client's address.")
    peer: Literal["full", "truncate", "hash", "drop"] = Field("full", description="A load balancer's address.")
    machine: Literal["full", "truncate", "hash", "drop"] = Field("full", description="The machine's name.")
    cmid: Literal["full", "truncate", "hash", "drop"] = Field("full", description="The client machine id.")

    def policy(self) -> PrivacyPolicy:
        """The choices as the audit applies them."""
        return PrivacyPolicy(Keep(self.client), Keep(self.peer), Keep(self.machine), Keep(self.cmid))


class AuditSection(Section):
    """A record of every activation call and every refusal."""

    enabled: bool = Field(True, description="Whether calls are recorded. An answer is sent once its record is stored.")
    store: str | None = Field(
        None,
        description="The SQLite file. By default audit.sqlite in the state folder, lab-audit.sqlite in a lab.",
        examples=["/var/lib/kmstwist/audit.sqlite"],
    )
    gateway: str | None = Field(
        None, description="This gateway's name in the records. By default the host name.", examples=["gateway1"]
    )
    on_audit_failure: Literal["serve", "refuse"] = Field(
        "serve",
        description="What happens to calls while records cannot be stored: serve answers them and raises an "
        "alarm, refuse refuses them.",
    )
    forward_to: str | None = Field(
        None,
        description="A central PostgreSQL database for several gateways, as postgresql://USER@HOST/DATABASE.",
        examples=["postgresql://kmstwist@db.example.com/kmstwist"],
    )
    keep_days: Annotated[float, Field(gt=0, le=_DAYS_MAX)] | None = Field(
        None, description="Days after which records are deleted. By default they are kept for good.", examples=[800]
    )
    keep_mib: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="MiB beyond which the oldest records and imported events are deleted, down to the newest 1000 of "
        "each. By default there is no limit.",
        examples=[2048],
    )
    gather: Annotated[float, Field(ge=0, le=1)] = Field(
        GATHER,
        description="Seconds in which records are gathered to be stored together, while many arrive. With 0, waiting "
        "records are stored as soon as the store is free.",
    )
    batch: Annotated[int, Field(ge=1, le=100_000)] = Field(BATCH, description="The most records stored together.")
    queue: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        QUEUE, description="Records that may wait while the store fails; further ones are lost and counted."
    )
    privacy: PrivacySettings = PrivacySettings.untouched()

    @field_validator("store")
    @classmethod
    def _is_a_file(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            # The URL is not repeated: it may hold a password.
            raise WrongValue("must be the path of a file, not a URL", "forward_to is for a PostgreSQL")
        return value

    @field_validator("forward_to")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None and (wrong := wrong_in_url(value)):
            # Without the URL, and without what its parser says: both may hold a password.
            raise WrongValue(wrong, "write it as postgresql://USER@HOST/DATABASE, the password belongs in ~/.pgpass")
        return value

    @property
    def on_failure(self) -> OnFailure:
        """`on_audit_failure` as the writer takes it."""
        return OnFailure(self.on_audit_failure)

    @property
    def limits(self) -> Limits:
        """`keep_days` and `keep_mib` as retention takes them."""
        return Limits(self.keep_days, None if self.keep_mib is None else int(self.keep_mib * _MEBIBYTE), floor=FLOOR)

    def store_path(self, state_dir: Path, *, lab: bool = False) -> Path:
        """The SQLite file of a gateway, or of a lab."""
        if self.store:
            return Path(self.store)
        return state_dir / (LAB_STORE_FILE_NAME if lab else STORE_FILE_NAME)
