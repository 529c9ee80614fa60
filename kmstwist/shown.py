"""Text made fit to be shown: names that others chose (of machines, of files), URLs with passwords, clauses, numbers."""

from __future__ import annotations

import re
from urllib.parse import unquote

# A password ends at the last @ there is: one that has an @ or a / in it is hidden whole, and so is what follows. A user
# may have them, too. Each word is looked through once, and of the scheme only the end: texts may be long.
_WORD = re.compile(r"[^\s\"']+")
_TO_USER = re.compile(r"[A-Za-z0-9+.-]:/[^:?#]*:")
_IN_QUERY = re.compile(r"([?&;])([^=&;?\s\"']+)=[^&\s\"']*")
#: What libpq reads a secret from.
_SECRETS = {"password", "passwd", "pwd", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}

# A text that is to be a URL, or libpq's other form, and nothing else: a password may have spaces and quotes there.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:?/+|postgres[a-z0-9+]*:|", re.IGNORECASE)
_HOSTS = re.compile(r"[^:/?#]*(?:\[[^\]]*\])?(?::\d*)?(?:,|[/?#].*|$)", re.DOTALL)
_IN_WORDS = re.compile(r"\b(password\s*=\s*)('(?:[^'\\]|\\.)*'?|\S*)", re.IGNORECASE)

HIDDEN = "***"


def as_sentence(clause: str) -> str:
    """A clause, which has no full stop, as a sentence with a capital letter and a full stop. "" remains ""."""
    return f"{clause[0].upper()}{clause[1:]}." if clause else ""


def counted(number: int, noun: str) -> str:
    """How many of something, as "1 record" and "2 records"; the noun is one that takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def visible(text: str) -> str:
    """The text with escapes in place of characters that a terminal or a page would obey or hide."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def visible_lines(text: str) -> str:
    """As `visible`, for a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))


def without_password(text: str) -> str:
    """The text with each password of a URL in it hidden, whatever the URL's scheme and however it is written."""
    return _IN_QUERY.sub(_hidden, _WORD.sub(_hidden_in_user, text) if "@" in text else text)


def _hidden_in_user(word: re.Match[str]) -> str:
    last = word[0].rfind("@")
    found = _TO_USER.search(word[0], 0, last) if last > 0 else None
    return word[0] if found is None else f"{word[0][: found.end()]}{HIDDEN}{word[0][last:]}"


def _hidden(found: re.Match[str]) -> str:
    # libpq reads %70assword, too.
    return f"{found[1]}{found[2]}={HIDDEN}" if unquote(found[2]).lower() in _SECRETS else found[0]


def url_without_password(text: str) -> str:
    """What is to be a URL, or a file, with the password in it hidden, also where it is not written as one must be."""
    if text.startswith(("/", ".")):
        return text
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    before, at, rest = text[start:].rpartition("@")
    user, colon, _ = (before if at else rest).partition(":")
    whole = text[start:]
    if colon and at:
        whole = f"{user}:{HIDDEN}@{rest}"
    elif colon and start and not _HOSTS.match(rest):
        # A user and his password, with the rest forgotten.
        whole = f"{user}:{HIDDEN}"
    whole, question, query = whole.partition("?")
    parts = re.split("([&;])", query)
    names = [unquote(part.partition("=")[0]).lower() for part in parts]
    shown = [
        f"{part.partition('=')[0]}={HIDDEN}" if name in _SECRETS else part
        for name, part in zip(names, parts, strict=True)
    ]
    return _IN_WORDS.sub(rf"\g<1>{HIDDEN}", f"{text[:start]}{whole}{question}{''.join(shown)}")


def has_password(text: str) -> bool:
    """Whether there is a URL with a password in the text."""
    return without_password(text) != text
