"""Which version of Windows a server behaves like, where versions differ in what they answer without authentication.

C706 and [MS-RPCE] leave these points open. Source: Samba's `raw_protocol` suite, which is run against Windows Server
2012 R2 and 2022; 2025 answers like 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kmstwist.rpc.status import RejectReason


@dataclass(frozen=True, slots=True)
class WindowsVersion:
    """What one version of Windows Server answers where another differs."""

    name: str
    #: Why a bind without presentation contexts is refused.
    empty_bind: RejectReason


WINDOWS_2012_R2: Final = WindowsVersion("Windows Server 2012 R2", RejectReason.NOT_SPECIFIED)
WINDOWS_2025: Final = WindowsVersion("Windows Server 2025", RejectReason.PROTOCOL_VERSION_NOT_SUPPORTED)
#: The known versions, by short names.
WINDOWS_VERSIONS: Final[Mapping[str, WindowsVersion]] = {"2012r2": WINDOWS_2012_R2, "2025": WINDOWS_2025}
#: The version that a server behaves like by default.
NEWEST_WINDOWS: Final = WINDOWS_2025
