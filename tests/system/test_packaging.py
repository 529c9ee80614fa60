"""The wheel, installed into a fresh environment, is the whole product."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.system.running import run

ROOT = Path(__file__).parents[2]


def test_a_wheel_in_a_fresh_environment_gives_twistd_kms_and_kmstwist(tmp_path: Path) -> None:
    built = run([sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)])
    assert built.returncode == 0, built.stderr
    wheel = next(tmp_path.glob("kmstwist-*.whl"))
    fresh = tmp_path / "fresh"
    assert run([sys.executable, "-m", "venv", str(fresh)]).returncode == 0
    installed = run([str(fresh / "bin/pip"), "install", "--quiet", str(wheel)])
    assert installed.returncode == 0, installed.stderr
    clean = {"PYTHONPATH": ""}
    plugin = run([str(fresh / "bin/twistd"), "kms", "--version"], env=clean, cwd=tmp_path)
    assert (plugin.returncode, plugin.stdout.split()[0]) == (0, "kmstwist"), plugin.stderr
    listed = run([str(fresh / "bin/twistd"), "--help"], env=clean, cwd=tmp_path)
    assert "A KMS gateway in front of the site's own licensed hosts" in " ".join(listed.stdout.split())
    refused = run([str(fresh / "bin/kmstwist"), "probe", "127.0.0.1:1"], env=clean, cwd=tmp_path)
    assert (refused.returncode, refused.stderr) == (2, "")
    # Twisted's own plugins are still there: ours is one more file in a folder they share.
    assert (fresh / "lib").exists()
    plugins = next(fresh.glob("lib/python3*/site-packages/twisted/plugins"))
    assert (plugins / "twisted_web.py").exists()
    assert (plugins / "kmstwist_kms.py").exists()
