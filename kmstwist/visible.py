"""Text that others chose, such as a machine's or a file's name, made fit for a terminal or a page."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text with its escapes for what a terminal or a page would obey or hide."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def visible_lines(text: str) -> str:
    """As `visible`, for a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))
