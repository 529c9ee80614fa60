"""What `twistd kms` is made of: `makeService` reads as the list of its parts.

Everything an administrator can get wrong is tried here, before twistd goes into the background: a mistake is one
sentence on the terminal and exit status 1.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import reactor as _reactor

from kmstwist import __version__
from kmstwist.gateway.service import GatewayService
from kmstwist.lab.host import LabHost
from kmstwist.lab.keys import KEY_FILE_NAME, LabKey, LabKeyError, default_state_dir
from kmstwist.lab.service import LabService
from kmstwist.lab.store import LabStore, StoreError
from kmstwist.logevents import GATEWAY, HINT, LAB, STARTING
from kmstwist.rpc.groups import AssociationGroups
from kmstwist.rpc.negotiation import Interface
from kmstwist.rpc.server import RpcServer
from kmstwist.rpc.syntax import KMS_INTERFACE
from kmstwist.server.errors import StartupError, speak_plainly
from kmstwist.server.listening import ListeningService, endpoint_descriptions, raise_file_limit, try_ports
from kmstwist.server.logging import direct_log
from kmstwist.server.options import Options
from kmstwist.server.protocol import KmsFactory

__all__ = ["Options", "makeService"]

MEMORY_FILE_NAME = "lab.sqlite"
