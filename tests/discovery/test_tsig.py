from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kmstwist.discovery.publishing.tsig import KeyFileInvalid, read_key_file
from tests.discovery.named import SECRET, program


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "gateway.key"
    path.write_text(text)
    path.chmod(mode)
    return path


ONE = f'key "gateway.corp.test" {{\n\talgorithm hmac-sha512;\n\tsecret "{SECRET}";\n}};\n'
TWO = ONE + f"key other {{ secret {SECRET}; algorithm HMAC-SHA256.; }};"


def test_a_key_file_is_read_with_comments_and_in_any_order(tmp_path: Path) -> None:
    key = read_key_file(key_file(tmp_path, "# ours\n/* two\nlines */ // more\n" + TWO), "OTHER.")
    assert (key.name, key.algorithm) == ("other", "hmac-sha256")


@pytest.mark.needs("named")
def test_what_tsig_keygen_writes_is_read(tmp_path: Path) -> None:
    made = subprocess.run(
        [program("tsig-keygen"), "-a", "hmac-sha384", "gw.corp.test"], capture_output=True, text=True, check=True
    )
    key = read_key_file(key_file(tmp_path, made.stdout))
    assert (key.name, key.algorithm) == ("gw.corp.test", "hmac-sha384")
    assert len(key.key.secret) == 48


def test_the_secret_is_in_no_representation(tmp_path: Path) -> None:
    key = read_key_file(key_file(tmp_path, ONE))
    assert SECRET not in f"{key!r} {key}"
    assert repr(key) == "TsigKey('gateway.corp.test', 'hmac-sha512')"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o666])
def test_a_file_open_to_others_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileInvalid, match="chmod 0640"):
        read_key_file(key_file(tmp_path, ONE, mode))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_file_for_its_owner_and_group_is_taken(tmp_path: Path, mode: int) -> None:
    assert read_key_file(key_file(tmp_path, ONE, mode)).name == "gateway.corp.test"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no key"),
        (SECRET, r"does not read '.*; };'; make one with: tsig-keygen NAME$"),
        (ONE.replace("};", ""), "does not read"),
        (ONE.replace("hmac-sha512", "hmac-sha3"), "hmac-sha3 of the key .* is not one of"),
        (ONE.replace("hmac-sha512", "gss-tsig"), "is not one of"),
        (ONE.replace(SECRET, "not base64!"), "is not base64"),
        (ONE.replace(SECRET, ""), "is empty"),
        (ONE.replace("algorithm hmac-sha512;", ""), "needs an algorithm and a secret"),
        (ONE.replace("gateway.corp.test", "a..b"), "is not a DNS name"),
        (TWO, "several keys"),
    ],
)
def test_a_broken_file_is_refused_without_showing_its_secret(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(KeyFileInvalid, match=complaint) as caught:
        read_key_file(key_file(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_a_missing_file_and_a_missing_name_are_reported(tmp_path: Path) -> None:
    with pytest.raises(KeyFileInvalid, match="cannot be read: No such file"):
        read_key_file(tmp_path / "none.key")
    with pytest.raises(KeyFileInvalid, match="holds no key named third"):
        read_key_file(key_file(tmp_path, TWO), "third")
    with pytest.raises(KeyFileInvalid, match="cannot be read"):
        read_key_file(tmp_path)
