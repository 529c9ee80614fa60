"""Which Windows a server behaves as, where one differs from another in what it answers without authentication.

C706 and [MS-RPCE] leave these open. Source: Samba's `raw_protocol` suite, which is run against Windows Server 2012 R2
and 2022; 2025 answers as 2022 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kmstwist.rpc.status import RejectReason


@dataclass(frozen=True, slots=True)
class WindowsVersion:
    """What one Windows Server answers where another answers something else."""

    name: str
    #: Why a bind without presentation contexts is refused.
    empty_bind: RejectReason


WINDOWS_2012_R2: Final = WindowsVersion("Windows Server 2012 R2", RejectReason.NOT_SPECIFIED)
WINDOWS_2025: Final = WindowsVersion("Windows Server 2025", RejectReason.PROTOCOL_VERSION_NOT_SUPPORTED)
#: Those that are known, by short names.
WINDOWS_VERSIONS: Final[Mapping[str, WindowsVersion]] = {"2012r2": WINDOWS_2012_R2, "2025": WINDOWS_2025}
#: What a server behaves as unless it is told otherwise.
NEWEST_WINDOWS: Final = WINDOWS_2025
