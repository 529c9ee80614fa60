"""The TSIG key that signs our updates (RFC 8945), from a key file as BIND's `tsig-keygen` writes it.

The secret goes from the file into the signature and nowhere else: `TsigKey` shows only its name and algorithm, also in
`repr`, and no error quotes the file.
"""

from __future__ import annotations

import base64
import binascii
import re
import stat
from pathlib import Path

import dns.name
import dns.tsig

from kmstwist.discovery.lookup.dns_names import NameInvalid, normal
from kmstwist.problem import WrongValue
from kmstwist.system.secrets import is_open_to_others

ALGORITHMS = {
    algorithm.to_text(omit_final_dot=True).lower(): algorithm
    for algorithm in dns.tsig.mac_sizes
    if algorithm != dns.tsig.GSS_TSIG
}
# BIND's name for the oldest algorithm; on the wire it is hmac-md5.sig-alg.reg.int (RFC 8945 section 6).
ALGORITHMS["hmac-md5"] = dns.tsig.HMAC_MD5

_TOKENS = re.compile(r'"(?P<quoted>[^"]*)"|(?P<mark>[{};])|(?P<word>[^\s{};"]+)')
_COMMENTS = re.compile(r'("[^"\n]*")|/\*.*?\*/|//[^\n]*|#[^\n]*', re.DOTALL)

_MAKE_ONE = "make one with: tsig-keygen NAME"


class KeyFileInvalid(WrongValue):
    """The key file cannot be used. The text reveals nothing of the secret."""


class TsigKey:
    """A TSIG key: `name` and `algorithm` as text, `key` as dnspython's object for signing."""

    def __init__(self, name: str, algorithm: str, secret: bytes) -> None:
        self.name = normal(name)
        self.algorithm = algorithm
        # dnspython's own Key shows its secret in repr, so it is made only when it is needed.
        self._key = dns.tsig.Key(dns.name.from_text(self.name), secret, ALGORITHMS[algorithm])

    def __repr__(self) -> str:
        return f"TsigKey({self.name!r}, {self.algorithm!r})"

    @property
    def key(self) -> dns.tsig.Key:
        """The key as dnspython needs it. Never print it: its repr contains the secret."""
        return self._key


def read_key_file(path: Path, name: str | None = None) -> TsigKey:
    """The key in a file of the form `key "name" { algorithm hmac-sha256; secret "..."; };`.

    `name` chooses one if the file holds several. The file must not be readable by everyone or writable by its group.
    Raises `KeyFileInvalid`.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise KeyFileInvalid(f"{path} is not a TSIG key file: it is not text", _MAKE_ONE) from None
    except OSError as error:
        raise KeyFileInvalid(
            f"the TSIG key file {path} cannot be read: {error.strerror}", "name one that this user may read"
        ) from None
    if not stat.S_ISREG(mode):
        raise KeyFileInvalid(f"the TSIG key file {path} is not a file", _MAKE_ONE)
    if is_open_to_others(path, mode):
        raise KeyFileInvalid(
            f"the TSIG key file {path} is open to others (mode {stat.S_IMODE(mode):04o}), and who reads it can change "
            "the zone",
            f"chmod 0640 {path}, or 0600, and then make a new key if it was open for long",
        )
    keys = _parse(text, path)
    if name is not None:
        wanted = normal(name)
        held = ", ".join(key.name for key in keys)
        keys = [key for key in keys if key.name == wanted]
        if not keys:
            raise KeyFileInvalid(f"{path} holds no key named {wanted}", f"it holds {held}: name one of those")
    if len(keys) > 1:
        names = ", ".join(key.name for key in keys)
        raise KeyFileInvalid(f"{path} holds several keys ({names})", "say which one to use")
    return keys[0]


def _parse(text: str, path: Path) -> list[TsigKey]:
    def wrong(what: str) -> KeyFileInvalid:
        return KeyFileInvalid(f"{path} is not a TSIG key file: {what}", _MAKE_ONE)

    bare = _COMMENTS.sub(lambda match: match[1] or " ", text)
    tokens = [match.group(match.lastgroup or 0) for match in _TOKENS.finditer(bare)]
    keys: list[TsigKey] = []
    while tokens:
        match tokens:
            case ["key", name, "{", *rest] if "}" in rest:
                end = rest.index("}")
                settings, tokens = _settings(rest[:end]), rest[end + 1 :]
                if tokens[:1] == [";"]:
                    tokens = tokens[1:]
            case _:
                raise wrong("""it does not read 'key "name" { algorithm hmac-sha256; secret "..."; };'""")
        if settings.keys() != {"algorithm", "secret"}:
            raise wrong(f"the key {name} needs an algorithm and a secret, and nothing else")
        algorithm = settings["algorithm"].lower().rstrip(".")
        if algorithm not in ALGORITHMS:
            known = ", ".join(sorted(algorithm for algorithm in ALGORITHMS if "sig-alg" not in algorithm))
            raise wrong(f"the algorithm {algorithm} of the key {name} is not one of {known}")
        try:
            secret = base64.b64decode(settings["secret"], validate=True)
            key = TsigKey(name, algorithm, secret)
        except binascii.Error:
            raise wrong(f"the secret of the key {name} is not base64") from None
        except NameInvalid as invalid:
            raise wrong(str(invalid)) from None
        if not secret:
            raise wrong(f"the secret of the key {name} is empty")
        keys.append(key)
    if not keys:
        raise wrong("it holds no key")
    return keys


def _settings(tokens: list[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    while tokens:
        match tokens:
            case [setting, value, ";", *rest] if setting.lower() not in settings:
                settings[setting.lower()] = value
                tokens = rest
            case _:
                return {}
    return settings
