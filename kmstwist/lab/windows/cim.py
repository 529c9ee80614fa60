"""A lab machine's instances of the licensing service's WMI classes, with the properties that they have on Windows.

A property for which a lab machine has no value is as on Windows: nothing, or 4294967295 for an unknown number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.machine import MACHINE, Licence, Machine
from kmstwist.lab.machines.view import CHANNEL, View

PRODUCT, SERVICE = "SoftwareLicensingProduct", "SoftwareLicensingService"
SYSTEM, COMPUTER = "Win32_OperatingSystem", "Win32_ComputerSystem"
UNKNOWN = 0xFFFF_FFFF
Value = str | int | bool | datetime | None
_NEVER = datetime(1601, 1, 1, tzinfo=UTC)
_REQUESTS = ("Failed", "Licensed", "NonGenuineGrace", "Notification", "OOBGrace", "OOTGrace", "Total", "Unlicensed")
_CAPTIONS = {
    "10.0.26100": ("Microsoft Windows 11", "Microsoft Windows Server 2025"),
    "10.0.20348": ("", "Microsoft Windows Server 2022"),
    "10.0.17763": ("Microsoft Windows 10", "Microsoft Windows Server 2019"),
    "10.0.14393": ("Microsoft Windows 10", "Microsoft Windows Server 2016"),
    "6.3.9600": ("Microsoft Windows 8.1", "Microsoft Windows Server 2012 R2"),
    "6.2.9200": ("Microsoft Windows 8", "Microsoft Windows Server 2012"),
    "6.1.7601": ("Microsoft Windows 7", "Microsoft Windows Server 2008 R2"),
}


@dataclass(slots=True)
class Instance:
    """An instance of a class: its properties in order, found in any case; `licence` is the licence it describes."""

    class_name: str
    properties: dict[str, Value]
    licence: Licence | None = field(default=None, repr=False)

    def get(self, name: str) -> Value:
        """A property's value; None, as in PowerShell, for one that the instance does not have."""
        return next((value for key, value in self.properties.items() if key.lower() == name.lower()), None)

    def has(self, name: str) -> bool:
        """Whether the class has this property."""
        return any(key.lower() == name.lower() for key in self.properties)


def instances(machine: Machine, key: LabKey, now: float) -> list[Instance]:
    """All instances of a machine: one for each licence, the service, the system and the computer."""
    found = [Instance(PRODUCT, product(View(machine, licence, now), key), licence) for licence in machine.licences]
    return [*found, Instance(SERVICE, service(machine)), Instance(SYSTEM, _system(machine)), _computer(machine)]


def product(view: View, key: LabKey | None) -> dict[str, Value]:
    """The properties of a `SoftwareLicensingProduct`, by name; without the lab's `key` no installation id."""
    machine, licence, client = view.machine, view.licence, view.licence.client
    keyed = licence.partial_key is not None
    by_hand, found = view.by_hand, view.found
    settings_port = machine.port_of(licence)
    values: dict[str, Value] = {
        "ADActivationCsvlkPid": "",
        "ADActivationCsvlkSkuId": "",
        "ADActivationObjectDN": "",
        "ADActivationObjectName": "",
        "ApplicationID": str(licence.product.app_id),
        "AutomaticVMActivationHostDigitalPid2": "",
        "AutomaticVMActivationHostMachineName": "",
        "AutomaticVMActivationLastActivationTime": _NEVER,
        "Description": licence.naming.description,
        "DiscoveredKeyManagementServiceMachineIpAddress": licence.host_address or "",
        "DiscoveredKeyManagementServiceMachineName": found.host if found else "",
        "DiscoveredKeyManagementServiceMachinePort": found.port if found else 0,
        "EvaluationEndDate": _NEVER,
        "ExtendedGrace": UNKNOWN,
        "GenuineStatus": UNKNOWN,
        "GracePeriodRemaining": view.minutes_left,
        "IAID": "",
        "ID": str(licence.act_id),
        "IsKeyManagementServiceMachine": 0,
        "KeyManagementServiceCurrentCount": UNKNOWN,
        "KeyManagementServiceLookupDomain": machine.lookup_domain_of(licence) or "",
        "KeyManagementServiceMachine": by_hand.host if by_hand else "",
        "KeyManagementServicePort": settings_port or 0,
        "KeyManagementServiceProductKeyID": client.host_id or "",
        "LicenseDependsOn": None,
        "LicenseFamily": licence.naming.edition,
        "LicenseIsAddon": False,
        "LicenseStatus": int(view.status),
        "LicenseStatusReason": view.reason,
        "MachineURL": None,
        "Name": licence.naming.name,
        "OfflineInstallationId": (view.installation_id(key) or None) if key is not None else None,
        "PartialProductKey": licence.partial_key,
        "ProcessorURL": None,
        "ProductKeyChannel": CHANNEL if keyed else None,
        "ProductKeyID": view.product_id if keyed else None,
        "ProductKeyID2": view.product_id if keyed else None,
        "ProductKeyURL": None,
        "RemainingAppReArmCount": machine.app_rearms_left(licence.product.app_id),
        "RemainingSkuReArmCount": licence.rearms_left,
        "RequiredClientCount": UNKNOWN,
        "TokenActivationAdditionalInfo": None,
        "TokenActivationCertificateThumbprint": None,
        "TokenActivationGrantNumber": UNKNOWN,
        "TokenActivationILID": None,
        "TokenActivationILVID": UNKNOWN,
        "TrustedTime": datetime.fromtimestamp(int(view.now), UTC),
        "UseLicenseURL": None,
        "ValidationURL": None,
        "VLActivationInterval": client.activation_interval,
        "VLActivationType": 2 if client.host_id and view.status is LicenseStatus.LICENSED else 0,
        "VLActivationTypeEnabled": machine.act_type_of(licence),
        "VLRenewalInterval": client.renewal_interval,
    }
    for name in _REQUESTS:
        values[f"KeyManagementService{name}Requests"] = UNKNOWN
    return dict(sorted(values.items(), key=lambda pair: pair[0].lower()))


def service(machine: Machine) -> dict[str, Value]:
    """The properties of the `SoftwareLicensingService`, by name."""
    settings = machine.scope(MACHINE)
    of_windows = next((one for one in machine.licences if one.is_windows and one.partial_key is not None), None)
    client = of_windows.client if of_windows else None
    found = of_windows.found if of_windows else None
    values: dict[str, Value] = {
        "ClientMachineID": str(machine.cmid),
        "DiscoveredKeyManagementServiceMachineIpAddress": (of_windows.host_address if of_windows else None) or "",
        "DiscoveredKeyManagementServiceMachineName": found.host if found else "",
        "DiscoveredKeyManagementServiceMachinePort": found.port if found else 0,
        "IsKeyManagementServiceMachine": 0,
        "KeyManagementServiceCurrentCount": UNKNOWN,
        "KeyManagementServiceDnsPublishing": True,
        "KeyManagementServiceHostCaching": machine.caching,
        "KeyManagementServiceListeningPort": 0,
        "KeyManagementServiceLookupDomain": settings.lookup_domain or "",
        "KeyManagementServiceLowPriority": False,
        "KeyManagementServiceMachine": settings.host or "",
        "KeyManagementServicePort": settings.port or 0,
        "KeyManagementServiceProductKeyID": (client.host_id if client else None) or "",
        "OA2xBiosMarkerMinorVersion": None,
        "OA2xBiosMarkerStatus": None,
        "OA3xOriginalProductKey": "",
        "OA3xOriginalProductKeyDescription": "",
        "OA3xOriginalProductKeyPkPn": "",
        "PolicyCacheRefreshRequired": 0,
        "RemainingWindowsReArmCount": machine.rearms_left,
        "RequiredClientCount": UNKNOWN,
        "TokenActivationAdditionalInfo": "",
        "TokenActivationCertificateThumbprint": "",
        "TokenActivationGrantNumber": UNKNOWN,
        "TokenActivationILID": "",
        "TokenActivationILVID": UNKNOWN,
        "Version": machine.windows.version,
        "VLActivationInterval": client.activation_interval if client else 120,
        "VLRenewalInterval": client.renewal_interval if client else 10_080,
    }
    for name in _REQUESTS:
        values[f"KeyManagementService{name}Requests"] = UNKNOWN
    return dict(sorted(values.items(), key=lambda pair: pair[0].lower()))


def _system(machine: Machine) -> dict[str, Value]:
    windows = machine.windows
    build = windows.version.rpartition(".")[0]
    captions = _CAPTIONS.get(build, ("Microsoft Windows 10", "Microsoft Windows Server"))
    edition = re.sub(r"^Server(?=.)", "", windows.edition)
    return {
        "BuildNumber": build.rpartition(".")[2],
        "Caption": f"{captions[windows.is_server]} {edition}",
        "CSName": machine.name.upper(),
        "OSArchitecture": "64-bit",
        "ProductType": 3 if windows.is_server else 1,
        "Version": build,
    }


def _computer(machine: Machine) -> Instance:
    return Instance(
        COMPUTER,
        {
            "Domain": machine.domain or "WORKGROUP",
            "Manufacturer": "kmstwist lab",
            "Model": "Lab machine",
            "Name": machine.name.upper(),
            "PartOfDomain": machine.domain is not None,
        },
    )
