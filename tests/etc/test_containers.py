"""Containers: manifests are valid, and what they name exists; packaging/container/try runs the image."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kmstwist.configuration.environment import overrides, settable, variable
from kmstwist.configuration.reading import load

PACKAGING = Path(__file__).parents[2] / "packaging"
CONTAINER = PACKAGING / "container"
MANIFESTS = sorted(path for path in (PACKAGING / "kubernetes").glob("*.yaml") if path.stem != "kustomization")
COMPOSE: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_valid_to_the_last_field(manifest: Path) -> None:
    script = str(Path(sys.executable).with_name("kubernetes-validate"))
    done = subprocess.run([script, "--strict", str(manifest)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kustomization_names_every_manifest_and_a_configuration_that_loads() -> None:
    made = yaml.safe_load((PACKAGING / "kubernetes" / "kustomization.yaml").read_text())
    assert sorted(made["resources"]) == [path.name for path in MANIFESTS]
    for generator in made["configMapGenerator"]:
        for file in generator["files"]:
            assert load(PACKAGING / "kubernetes" / file).config.gateway.configured


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bKMSTWIST_[A-Z]+(?:__[A-Z_]+)+\b", text))


@pytest.mark.parametrize(
    "file",
    [CONTAINER / "Containerfile", CONTAINER / "compose.yaml", CONTAINER / "try", *MANIFESTS],
    ids=lambda path: path.name,
)
def test_every_variable_named_belongs_to_an_option(file: Path) -> None:
    known = {variable(place) for place, _ in settable()}
    mistaken = {"KMSTWIST_SERVER__PROT"}
    named = {name.removesuffix("_FILE") for name in variables(file.read_text())} - mistaken
    assert named <= known


def test_the_images_own_environment_is_a_configuration() -> None:
    text = (CONTAINER / "Containerfile").read_text()
    environment = dict(re.findall(r"(KMSTWIST_[A-Z_]+)=(\S+)", text))
    assert load(None, overrides(environment)).config.server.state_dir == "/var/lib/kmstwist"


def test_what_compose_mounts_and_builds_exists() -> None:
    profiles = {profile for service in COMPOSE["services"].values() for profile in service["profiles"]}
    assert profiles == {"lab", "gateway", "full"}
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (CONTAINER / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"]


def test_a_variable_of_one_profile_does_not_stop_the_others() -> None:
    """Compose substitutes variables in the whole file before it selects a profile."""
    assert not re.findall(r"\$\{\w+:?\?", (CONTAINER / "compose.yaml").read_text())


def test_no_image_is_named_with_a_registrys_host() -> None:
    for file in (CONTAINER / "Containerfile", CONTAINER / "compose.yaml", *MANIFESTS):
        images = re.findall(r"(?:image:|FROM|BASE=)\s*([\w.:/${}-]+)", file.read_text())
        assert not [image for image in images if "." in image.split("/")[0] and "/" in image], file
