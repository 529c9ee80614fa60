"""What kmstwist must not do: these tests search the source tree and the built wheel."""

from __future__ import annotations

import ast
import csv
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmstwist.lab.keys import HOST_ID_PREFIX, LabKey

ROOT = Path(__file__).parents[1]
#: The only module that may use ciphers or MACs, and the only one that may derive keys.
CIPHER_MODULE = "kmstwist/lab/cipher.py"
KEYS_MODULE = "kmstwist/lab/keys.py"
_HEX_KEY = re.compile(r"(?:[0-9a-fA-F]{2}[ :,]?){16,32}\Z")
#: How a label or a piece of protocol text differs from a key.
_WORDS = re.compile(rb"[a-z0-9 ./:_-]+\Z", re.IGNORECASE)
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z|[A-Za-z0-9+/]{43}=\Z")
_PRODUCT_KEY = re.compile(r"\b(?:[BCDFGHJKMPQRTVWXY2346789N]{5}-){4}[BCDFGHJKMPQRTVWXY2346789N]{5}\b")
#: A host product id in the form of a licensed host's: groups of 5, 5, 3, 6 and 2 digits, then language, build and date.
_EPID = re.compile(r"\b\d{5}-\d{5}-\d{3}-\d{6}-\d{2}-\d{4,5}-")
_TEXT_SUFFIXES = {
    ".py",
    ".md",
    ".toml",
    ".cfg",
    ".csv",
    ".json",
    ".txt",
    ".service",
    ".default",
    ".html",
    ".js",
    ".sh",
    "",
}


def tracked_files() -> list[Path]:
    """Every file of the tree that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def sources(wheel: zipfile.ZipFile | None) -> Iterator[tuple[str, str]]:
    """The names and texts of all Python sources of the program, in the tree or in the wheel."""
    if wheel is None:
        for path in tracked_files():
            if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in (
                "kmstwist",
                "twisted",
                "fuzz",
                "benchmarks",
            ):
                yield str(path.relative_to(ROOT)), path.read_text()
    else:
        for name in wheel.namelist():
            if name.endswith(".py"):
                yield name, wheel.read(name).decode()


def key_like_literals(source: str) -> Iterator[tuple[int, str]]:
    """Literals that could be a symmetric key: 16, 24 or 32 bytes, as bytes, hex, base64 or a list of numbers."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, bytes) and len(value) in (16, 24, 32) and len(set(value)) > 4:
                if not _WORDS.match(value):
                    yield node.lineno, repr(value)
            elif isinstance(value, str) and (_HEX_KEY.match(value) or _BASE64_KEY.match(value)):
                yield node.lineno, value
            elif isinstance(value, int) and value.bit_length() > 120:
                yield node.lineno, hex(value)
        elif isinstance(node, ast.List | ast.Tuple) and len(node.elts) in (16, 24, 32):
            values = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, int)]
            if len(values) == len(node.elts) and max(values) <= 255:
                yield node.lineno, "a list of byte values"


@pytest.mark.parametrize(
    "literal",
    [
        "b'\\x01\\xf2\\x03\\x04\\x05\\x06\\x07\\x08\\x09\\x0a\\x0b\\x0c\\x0d\\x0e\\x0f\\x10'",
        "bytes.fromhex('00112233445566778899aabbccddeeff')",
        "bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])",
        "b64decode('ABEiM0RVZneImaq7zN3u/w==')",
        "0xf0112233445566778899aabbccddeeff",
    ],
)
def test_the_search_finds_a_key_in_every_disguise(literal: str) -> None:
    assert list(key_like_literals(f"key = {literal}"))


def test_no_key_literal_is_in_the_tree() -> None:
    found = [(name, *hit) for name, text in sources(None) for hit in key_like_literals(text)]
    assert found == []


def test_no_key_literal_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = [name for name, _ in sources(wheel)]
    assert "kmstwist/lab/cipher.py" in names
    found = [(name, *hit) for name, text in sources(wheel) for hit in key_like_literals(text)]
    assert found == []


def test_ciphers_are_made_in_one_module_and_keys_derived_in_one() -> None:
    importers: dict[str, set[str]] = {}
    for name, text in sources(None):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("Crypto", "cryptography"):
                importers.setdefault(name, set()).update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] in ("Crypto", "cryptography") for alias in node.names), name
    assert set(importers) == {CIPHER_MODULE, KEYS_MODULE}
    assert importers[KEYS_MODULE] == {"Crypto.Hash.SHA256", "Crypto.Protocol.KDF.HKDF"}


def test_a_lab_key_is_made_of_a_secret_and_of_nothing_else() -> None:
    derived = {name: getattr(LabKey(bytes(32)), name) for name in ("v4_mac", "v5_enc", "v6_enc", "v6_mac")}
    changed = {name: getattr(LabKey(bytes(31) + b"\1"), name) for name in derived}
    assert len(set(derived.values())) == 4
    assert all(derived[name] != changed[name] for name in derived)
    assert LabKey.__init__.__code__.co_varnames[: LabKey.__init__.__code__.co_argcount] == ("self", "secret")


def test_the_lab_names_itself_as_a_lab() -> None:
    assert HOST_ID_PREFIX == "LAB-"
    assert LabKey(bytes(32)).host_id.startswith(HOST_ID_PREFIX)


def test_no_host_product_id_and_no_unpublished_product_key_is_anywhere() -> None:
    catalogue = ROOT / "kmstwist/kms/data/gvlk.csv"
    published = {row["gvlk"] for row in csv.DictReader(io.StringIO(catalogue.read_text()))}
    assert len(published) > 100
    problems = []
    for path in tracked_files():
        if path.suffix not in _TEXT_SUFFIXES or path == Path(__file__):
            continue
        text = path.read_text(errors="replace")
        problems += [(path.name, key) for key in _PRODUCT_KEY.findall(text) if key not in published]
        problems += [(path.name, epid) for epid in _EPID.findall(text)]
    assert problems == []


def test_the_gateway_neither_decrypts_nor_signs() -> None:
    for name, text in sources(None):
        if name.startswith(
            ("kmstwist/gateway/", "kmstwist/server/", "kmstwist/transport/", "kmstwist/rpc/", "kmstwist/kms/")
        ):
            imported = {
                node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module
            }
            assert not any(module.startswith("kmstwist.lab.cipher") for module in imported), name


def test_the_readme_states_the_line() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## What kmstwist does not do", 1)[1].split("\n## ", 1)[0]
    for promise in (
        "never impersonates",
        "no KMS keys",
        "does not alter or re-sign",
        "fakes no client counts",
        "unofficial product keys",
    ):
        assert promise in section
