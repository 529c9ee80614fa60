"""Windows' names for the catalogue's products, as slmgr, ospp and WMI print them.

The forms come from outputs that administrators posted: `Windows(R), Enterprise edition` since Windows 8,
`Windows(R) 7, Enterprise edition` before, `Office 21, Office21ProPlus2021VL_KMS_Client_AE edition`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from kmstwist.kms.catalogue import OFFICE, Product

_NEWEST_VERSION = "10.0.26100.1"
#: The licensing service's version by the words that are in the product's name, the most special first.
_VERSIONS = (
    ("LTSB 2016", "10.0.14393.0"),
    ("LTSB 2015", "10.0.10240.16384"),
    ("Server 2025", _NEWEST_VERSION),
    ("Server 2022", "10.0.20348.1"),
    ("Server 2019", "10.0.17763.1"),
    ("Server 2016", "10.0.14393.0"),
    ("Server 20H2", "10.0.19042.1"),
    ("Server 1803", "10.0.17134.1"),
    ("Server 1709", "10.0.16299.15"),
    ("Server 2012 R2", "6.3.9600.16384"),
    ("Server 2012", "6.2.9200.16384"),
    ("Server 2008 R2", "6.1.7601.17514"),
    ("Server 2008", "6.0.6002.18005"),
    ("Windows 8.1", "6.3.9600.16384"),
    ("Windows 8", "6.2.9200.16384"),
    ("Windows 7", "6.1.7601.17514"),
    ("Vista", "6.0.6002.18005"),
)
_REARMS_NOW, _REARMS_BEFORE, _REARMS_OFFICE = 1001, 3, 5
_SERVER_EDITIONS = (
    ("Datacenter: Azure Edition", "ServerTurbine"),
    ("MultiPoint Standard", "ServerMultiPointStandard"),
    ("MultiPoint Premium", "ServerMultiPointPremium"),
    ("Essentials", "ServerSolution"),
    ("Itanium", "ServerEnterpriseIA64"),
    ("Web", "ServerWeb"),
    ("HPC", "ServerHPC"),
    ("Enterprise", "ServerEnterprise"),
    ("Datacenter", "ServerDatacenter"),
    ("Standard", "ServerStandard"),
)
_OFFICE_NUMBERS = {2010: 14, 2013: 15}
_OFFICE_WORDS = (
    ("Office", "ProPlus", "Standard"),
    ("Project", "ProjectPro", "ProjectStd"),
    ("Visio", "VisioPro", "VisioStd"),
)


@dataclass(frozen=True, slots=True)
class Naming:
    """A product in Windows' words.

    `edition` is what stands in `Name:` before " edition" (for Windows its EditionID); `version` the licensing service's
    of the Windows this is, or the newest one's for Office; `rearms` how often it can be rearmed when it is new.
    """

    name: str
    description: str
    edition: str
    version: str
    rearms: int
    is_server: bool = False

    @property
    def before_windows_8(self) -> bool:
        """Whether this Windows has the slmgr of Windows 7 and Server 2008 R2, or an earlier one."""
        return self.version.startswith(("6.0.", "6.1."))


@cache
def naming_of(product: Product) -> Naming:
    """The Windows name of a product."""
    return _office(product.name) if product.app_id == OFFICE else _windows(product.name)


def _windows(name: str) -> Naming:
    version = next((number for words, number in _VERSIONS if words in name), _NEWEST_VERSION)
    if "Web Server 2008" in name:
        version = "6.0.6002.18005"
    is_server = "Server" in name
    edition = _server_edition(name) if is_server else _client_edition(name)
    rearms = _REARMS_NOW if version.startswith("10.") else _REARMS_BEFORE
    if version.startswith("6.0.") and not is_server:
        family, system = "Windows(TM) Vista", "Windows Operating System - Vista"
    elif version.startswith("6.1.") and not is_server:
        family, system = "Windows(R) 7", "Windows Operating System - Windows(R) 7"
    elif version.startswith(("6.0.", "6.1.")):
        family, system = "Windows Server(R)", "Windows Operating System - Windows Server(R)"
    else:
        family, system = "Windows(R)", "Windows(R) Operating System"
    return Naming(
        f"{family}, {edition} edition", f"{system}, VOLUME_KMSCLIENT channel", edition, version, rearms, is_server
    )


def _server_edition(name: str) -> str:
    edition = next((short for words, short in _SERVER_EDITIONS if words in name), "ServerStandard")
    if "without Hyper-V" in name:
        return f"{edition}V"
    return f"{edition}ACor" if re.search(r"Server (20H2|1803|1709)", name) else edition


def _client_edition(name: str) -> str:
    if "IoT Enterprise" in name:
        return "IoTEnterpriseS"
    if "LTS" in name:
        return "EnterpriseSN" if "Enterprise N" in name else "EnterpriseS"
    words = re.sub(r"^Windows (11 / 10|8\.1|8|7|Vista) ", "", name)
    words = re.sub(r"^Pro\b", "Professional", words).replace("for Workstations", "Workstation")
    return words.replace(" ", "")


def _office(name: str) -> Naming:
    found = re.search(r"\b(20\d\d)\b", name)
    year = int(found[1]) if found else 2016
    number = _OFFICE_NUMBERS.get(year, year - 2000)
    short = _office_product(re.sub(r"\b(LTSC|20\d\d)\b", "", name).strip())
    if year < 2013:
        edition = f"Office{short}-KMS_Client"
    elif year == 2013:
        edition = f"Office{short}VL_KMS_Client"
    elif year == 2016:
        edition = f"Office16{short}VL_KMS_Client"
    else:
        edition = f"Office{number}{short}{year}VL_KMS_Client_AE"
    family = f"Office {number}"
    return Naming(
        f"{family}, {edition} edition", f"{family}, VOLUME_KMSCLIENT channel", edition, _NEWEST_VERSION, _REARMS_OFFICE
    )


def _office_product(words: str) -> str:
    for first, professional, standard in _OFFICE_WORDS:
        if words.startswith(first):
            return professional if "Professional" in words else standard
    return words.replace(" ", "")


NEWEST = _windows("Windows 11 / 10 Enterprise")
"""The Windows of a machine that has none of its own: Office runs on some Windows."""
