"""Checking a request's parameters for a view; each mistake becomes a sentence beside its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kmstwist.web.view import Question, View

#: The formats in which a whole table can be downloaded.
FORMATS = ("csv", "json")


class Mistakes(Exception):
    """Wrong parameters: a sentence for each field, and the texts that were given."""

    def __init__(self, sentences: Mapping[str, str], words: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" if name else text for name, text in sentences.items()))
        self.sentences = dict(sentences)
        self.words = dict(words)


def read_words(args: Mapping[bytes, list[bytes]], *, empty: bool = False) -> dict[str, str]:
    """The parameters as text. Raises `Mistakes`.

    Without `empty`, empty ones are left out: a form sends all its fields, whether filled in or not.
    """
    words: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for raw, given in args.items():
        name = raw.decode(errors="replace")
        try:
            texts = [each.decode() for each in given]
        except UnicodeDecodeError:
            wrong[name] = "is not UTF-8"
            continue
        if len(texts) > 1:
            wrong[name] = f"is given {len(texts)} times; once is enough"
        elif "\0" in texts[0]:
            wrong[name] = "has a zero byte in it"
        elif texts[0] or empty:
            words[name] = texts[0]
    if wrong:
        raise Mistakes(wrong, words)
    return words


def understand(view: View[Any], words: Mapping[str, str]) -> tuple[Question, str]:
    """The question, and the format of a download ("" for none). Raises `Mistakes`."""
    given = dict(words)
    form = given.pop("format", None)
    wrong: dict[str, str] = {}
    if form is not None and (form not in FORMATS or view.rows is None):
        wrong["format"] = (
            f"{form!r} is not a format of this; there are csv and json" if view.rows else "there is only one"
        )
    try:
        question: Question = view.question.model_validate(given)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            wrong.setdefault(name, _sentence(detail))
    if wrong:
        raise Mistakes(wrong, words)
    return question, form or ""


def _sentence(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx") or {}
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return "is not a parameter of this page"
        case "missing":
            return "is needed"
        case "enum":
            return f"{value!r} is not one of {context.get('expected', '')}".replace("'", "").replace(" or ", ", ")
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{value!r} is not a whole number"
        case "bool_parsing":
            return f"{value!r} is neither yes nor no"
        case "greater_than_equal":
            return f"{value} is too small; {context['ge']} is the least"
        case "less_than_equal":
            return f"{value} is too large; {context['le']} is the most"
        case "string_too_long":
            return f"is longer than {context['max_length']} characters"
        case "string_too_short":
            return "is needed"
        case "value_error":
            return str(context["error"])
        case kind if kind.startswith("datetime"):
            return f"{value!r} is not a time; write it as 2026-06-01T13:00Z"
        case _:
            return detail["msg"]
