"""What the lab uses of pycryptodome.

pycryptodome calls its C code by cffi where that is installed, and by ctypes elsewhere. cffi reads the C declarations
with a parser of its own, which takes 30 ms; its calls take no less time than those of ctypes.
"""

from __future__ import annotations

from kmstwist.system.hiding import hidden

with hidden("cffi"):
    from Crypto.Cipher import AES
    from Crypto.Hash import CMAC, HMAC, SHA256
    from Crypto.Protocol.KDF import HKDF
    from Crypto.Util.Padding import pad, unpad

__all__ = ["AES", "CMAC", "HKDF", "HMAC", "SHA256", "pad", "unpad"]
