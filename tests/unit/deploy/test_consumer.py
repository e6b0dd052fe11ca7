"""deploy/consumer.yaml says nothing that compose.yaml, the image and the example do not know."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tests.deploy.compose_file import CONSUMER, ROOT, read_compose

SERVICES = read_compose({"POSTGRES_PASSWORD": "x"}, CONSUMER)
ADDED = SERVICES["consumer"]


def test_it_adds_one_service_of_our_image_on_the_inner_network_alone():
    assert set(SERVICES) - set(read_compose({"POSTGRES_PASSWORD": "x"})) == {"consumer"}
    assert ADDED.image == SERVICES["api"].image
    assert ADDED.said["networks"] == ["inside"]
    assert not ADDED.ports


@pytest.mark.parametrize("word", ["init", "read_only", "cap_drop", "security_opt", "restart"])
def test_it_has_no_more_rights_than_our_services(word: str):
    assert ADDED.said[word] == SERVICES["api"].said[word]


def test_its_command_is_the_examples_and_reaches_what_it_waits_for():
    mounts = dict(reversed(said.split(":")[:2]) for said in ADDED.said["volumes"])
    program, *options = ADDED.command[1:]
    folder, name = program.rsplit("/", 1)
    said = subprocess.run(
        [sys.executable, ROOT / mounts[folder] / name, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = dict(zip(options[::2], options[1::2], strict=True))
    assert all(name in said for name in told)
    assert told["--bootstrap"] == SERVICES["api"].environment["GRANTLOG_KAFKA_BOOTSTRAP"]
    assert {told[name].partition(":")[0] for name in ("--bootstrap", "--api")} == set(
        ADDED.waits_for
    )
    assert set(ADDED.waits_for.values()) == {"service_healthy"}


def test_its_volume_belongs_to_the_images_user():
    volumes = yaml.safe_load(CONSUMER.read_text())["volumes"]
    assert "consumer:/data" in ADDED.said["volumes"]
    assert "consumer" in volumes
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user
    assert f"RUN install -d -o {user[1]} -g {user[2]} /data" in dockerfile
