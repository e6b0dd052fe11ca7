"""The manifests of deploy/kubernetes: of Kubernetes's shape, and true about our programs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from grantlog_api.settings import ApiSettings
from grantlog_projector.settings import ProjectorSettings
from grantlog_watch.settings import WatchServiceSettings

from grantlog.cli.__main__ import main
from grantlog.runtime.settings import KNOWN, ServiceSettings
from tests.deploy.compose_file import ROOT, read_compose

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*/*.yaml"))
VALIDATE = ROOT / ".venv-deploy" / "bin" / "kubernetes-validate"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "api": ApiSettings,
    "projector": ProjectorSettings,
    "watch": WatchServiceSettings,
}

Object = dict[str, Any]


def objects() -> Iterator[tuple[str, Object]]:
    """Every object with the file that it is in."""
    for file in FILES:
        for said in yaml.safe_load_all(file.read_text()):
            if said["kind"] != "Kustomization":
                yield str(file.relative_to(FOLDER)), said


OBJECTS = list(objects())
PODS = [(file, said) for file, said in OBJECTS if "template" in said.get("spec", {})]
OURS = [
    (file, said, container)
    for file, said in PODS
    for container in (
        said["spec"]["template"]["spec"].get("initContainers", [])
        + said["spec"]["template"]["spec"]["containers"]
    )
    if container["image"].partition(":")[0] == "grantlog"
]
ours = pytest.mark.parametrize(
    ("said", "container"),
    [(said, container) for _, said, container in OURS],
    ids=[f"{file} {container['name']}" for file, _, container in OURS],
)


def of_kind(kind: str) -> dict[str, Object]:
    return {said["metadata"]["name"]: said for _, said in OBJECTS if said["kind"] == kind}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_manifest_is_of_the_shape_that_kubernetes_knows(file: Path):
    if not VALIDATE.exists():
        pytest.skip("not run: kubernetes-validate is not installed (make test installs it)")
    done = subprocess.run([VALIDATE, "--strict", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kustomize_builds_what_the_files_say():
    if shutil.which("kubectl") is None:
        pytest.skip("not run: kubectl is not here")
    done = subprocess.run(
        ["kubectl", "kustomize", FOLDER / "service"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert len(built) == sum(f.startswith("service/") and "example" not in f for f, _ in OBJECTS)
    images = {
        container["image"]
        for said in built
        if "template" in said.get("spec", {})
        for container in said["spec"]["template"]["spec"]["containers"]
    }
    assert images == {read_compose({"POSTGRES_PASSWORD": "x"})["api"].image}


def test_every_file_of_the_service_is_applied_but_the_example():
    listed = yaml.safe_load((FOLDER / "service" / "kustomization.yaml").read_text())["resources"]
    there = {file.name for file in FILES if file.parent.name == "service"}
    assert set(listed) == there - {"kustomization.yaml", "secret.example.yaml"}


@pytest.mark.parametrize(("file", "said"), PODS, ids=[f"{f} {s['kind']}" for f, s in PODS])
def test_pods_are_found_by_their_labels(file: str, said: Object):
    labels = said["spec"]["template"]["metadata"]["labels"]
    if said["kind"] == "Deployment":
        assert said["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_what_selects_pods_selects_some():
    labels = [said["spec"]["template"]["metadata"]["labels"] for _, said in PODS]
    selectors = [
        *(s["spec"]["selector"] for s in of_kind("Service").values()),
        *(s["spec"]["selector"]["matchLabels"] for s in of_kind("PodDisruptionBudget").values()),
        *(s["spec"]["podSelector"]["matchLabels"] for s in of_kind("NetworkPolicy").values()),
    ]
    assert len(selectors) >= 4
    for selector in selectors:
        assert any(selector.items() <= each.items() for each in labels), selector
    for scaler in of_kind("HorizontalPodAutoscaler").values():
        scaled = of_kind(scaler["spec"]["scaleTargetRef"]["kind"])
        target = scaled[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "applying it would undo what the scaler did"


@ours
def test_a_container_runs_a_command_that_there_is(capsys, said: Object, container: Object):
    probes = [container.get(f"{kind}Probe", {}) for kind in ("startup", "liveness", "readiness")]
    asked = [probe["exec"]["command"] for probe in probes if "exec" in probe]
    for words in [container["command"], *asked]:
        assert words[0] == "grantlog"
        assert main([*words[1:], "--help"]) == 0
        assert f"Usage: {' '.join(words[:2])}" in capsys.readouterr().out
    if container["command"][1] == "run":
        assert container["command"][2] in SETTINGS


@ours
def test_a_container_is_told_settings_that_it_reads(
    said: Object, container: Object, monkeypatch: pytest.MonkeyPatch
):
    told = environment_of(container)
    assert told.keys() <= KNOWN
    service = container["command"][-1]
    if service not in SETTINGS:
        return
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = SETTINGS[service]()
    takes_s = settings.drain_s_max + getattr(settings, "linger_s", 0)  # type: ignore[attr-defined]
    grace_s = said["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= takes_s + 10
    read = {f"GRANTLOG_{field.upper()}" for field in SETTINGS[service].model_fields}
    own = {variable["name"] for variable in container.get("env", [])}
    assert own <= read, "it would be told what it does not read"


def environment_of(container: Object) -> dict[str, str]:
    """Its variables, those of secrets and config maps too."""
    told: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "secretRef" in source:
            told |= of_kind("Secret")[source["secretRef"]["name"]]["stringData"]
        else:
            told |= of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", []):
        told[variable["name"]] = variable.get("value") or secret_value(variable["valueFrom"])
    assert all(isinstance(value, str) for value in told.values())
    return told


def secret_value(source: Object) -> str:
    reference = source["secretKeyRef"]
    return of_kind("Secret")[reference["name"]]["stringData"][reference["key"]]


@ours
def test_a_probe_asks_where_somebody_answers(said: Object, container: Object):
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    fields, watch = ApiSettings.model_fields, WatchServiceSettings.model_fields
    api_ports = {"rest": fields["http_port"].default, "grpc": fields["grpc_port"].default}
    assert ports in ({}, api_ports, {"watch": watch["grpc_port"].default})
    for kind in ("startup", "liveness", "readiness"):
        probe = container.get(f"{kind}Probe", {})
        if asked := probe.get("httpGet") or probe.get("tcpSocket") or probe.get("grpc"):
            assert asked["port"] in {*ports, *ports.values()}
            assert environment_of(container)["GRANTLOG_HOST"] == "0.0.0.0"
        elif probe:
            assert probe["timeoutSeconds"] >= 5
        if "httpGet" in probe:
            assert asked["path"] == ("/healthz" if kind == "readiness" else "/livez")
        # What waits for a database is not started again.
        assert kind != "liveness" or probe.keys().isdisjoint({"exec", "grpc"})


def test_services_lead_to_ports_that_pods_name():
    named = {port["name"] for _, _, c in OURS for port in c.get("ports", [])}
    for service in of_kind("Service").values():
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in named
    for policy in of_kind("NetworkPolicy").values():
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule["ports"]} <= named


@ours
def test_a_container_has_no_more_rights_than_it_needs(said: Object, container: Object):
    pod = said["spec"]["template"]["spec"]
    rights = pod.get("securityContext", {}) | container["securityContext"]
    assert rights["runAsNonRoot"]
    assert rights["runAsUser"] == rights["runAsGroup"] == 10001, "the image's"
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["enableServiceLinks"] is False
    assert "memory" in container["resources"]["limits"]
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()


def test_no_secret_is_in_what_is_applied():
    applied = [said for file, said in OBJECTS if "example" not in file]
    assert not [said for said in applied if said["kind"] == "Secret"]
    assert "postgresql://" not in json.dumps(applied)


def test_a_sidecar_is_reached_by_its_pod_alone_and_does_not_publish():
    (sidecar,) = [container for file, _, container in OURS if file.startswith("sidecar/")]
    told = environment_of(sidecar)
    assert sidecar["restartPolicy"] == "Always"
    assert told["GRANTLOG_HOST"] == "127.0.0.1"
    assert told["GRANTLOG_KAFKA_PUBLISH"] == "false"
    assert "ports" not in sidecar
    version = read_compose({"POSTGRES_PASSWORD": "x"})["api"].image
    assert sidecar["image"] == version


@ours
def test_every_file_that_an_address_names_is_mounted(said: Object, container: Object):
    """sslmode=verify-full with no CA file in the container connects nowhere."""
    secrets = of_kind("Secret")
    named = {
        unquote(value)
        for address in secrets["grantlog-databases"]["stringData"].values()
        for value in parse_qs(urlsplit(address).query).get("sslrootcert", ["none named"])
    }
    mounts = {m["mountPath"]: m["name"] for m in container.get("volumeMounts", [])}
    volumes = {v["name"]: v for v in said["spec"]["template"]["spec"].get("volumes", [])}
    for file in named:
        folder, _, name = file.rpartition("/")
        held = volumes[mounts[folder]]["secret"]
        assert name in secrets[held["secretName"]]["stringData"]
        assert held["optional"], "addresses without TLS need none"
