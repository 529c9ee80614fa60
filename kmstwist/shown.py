"""Text made fit to be shown: others' words, such as a machine's or a file's name, and URLs with passwords in them."""

from __future__ import annotations

import re

# A password ends at the last @ there is: one that has an @ or a / in it is hidden whole, and so is what follows. Of the
# scheme only the last character is looked for: a whole one would be looked for at every letter of a long text.
_IN_USER = re.compile(r"([A-Za-z0-9+.-]:/+[^:/?#@\s]*):[^\s\"']*@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^&\s\"']*", re.IGNORECASE)

HIDDEN = "***"


def visible(text: str) -> str:
    """The text with its escapes for what a terminal or a page would obey or hide."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def visible_lines(text: str) -> str:
    """As `visible`, for a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))


def without_password(text: str) -> str:
    """The text with each password of a URL in it hidden, whatever the URL's scheme and however it is written."""
    return _IN_QUERY.sub(rf"\g<1>{HIDDEN}", _IN_USER.sub(rf"\g<1>:{HIDDEN}@", text))


def has_password(text: str) -> bool:
    """Whether there is a URL with a password in the text."""
    return without_password(text) != text
