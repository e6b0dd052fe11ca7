"""compose.yaml as Docker Compose reads it: merged, with variables filled in, and typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
CONSUMER = ROOT / "deploy" / "consumer.yaml"
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<word>[^}]*))?\})")
_DURATION = re.compile(r"([\d.]+)(ms|s|m)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0}


class UnsetVariableError(Exception):
    """A variable that compose.yaml demands is not set; the text is what it says about that."""


@dataclass(frozen=True)
class Health:
    """How a container is asked whether it is well."""

    command: list[str]
    interval_s: float
    timeout_s: float
    retries: int
    start_s: float
    start_interval_s: float

    @property
    def patience_s(self) -> float:
        """After so long without a good answer Docker calls it unhealthy."""
        return self.start_s + self.retries * (self.interval_s + self.timeout_s)


@dataclass(frozen=True)
class ComposeService:
    """What compose.yaml says of one service."""

    name: str
    image: str
    is_ours: bool
    """Made from the Dockerfile beside it."""
    command: list[str]
    environment: dict[str, str]
    health: Health | None
    waits_for: dict[str, str]
    """Condition by service."""
    stop_grace_s: float
    ports: list[str]
    said: dict[str, Any]
    """All of it, as written."""


def read_compose(variables: Mapping[str, str], *overlays: Path) -> dict[str, ComposeService]:
    """The services by name, those of overlays too, which add services and change none.

    Raises:
        UnsetVariableError: a variable is demanded and not given.
    """
    services: dict[str, Any] = {}
    for file in (COMPOSE, *overlays):
        written = _filled(yaml.safe_load(file.read_text()), variables)["services"]
        assert not services.keys() & written.keys(), "merging is Compose's own business"
        services |= written
    return {name: _service(name, said) for name, said in services.items()}


def _service(name: str, said: dict[str, Any]) -> ComposeService:
    return ComposeService(
        name,
        said["image"],
        "build" in said,
        said.get("command", []),
        said.get("environment", {}),
        _health(said["healthcheck"]) if "healthcheck" in said else None,
        {other: how["condition"] for other, how in said.get("depends_on", {}).items()},
        seconds(said.get("stop_grace_period", "10s")),
        said.get("ports", []),
        said,
    )


def _health(said: dict[str, Any]) -> Health:
    kind, *command = said["test"]
    assert kind == "CMD", "a list of words runs without a shell, in any image"
    return Health(
        command,
        seconds(said["interval"]),
        seconds(said["timeout"]),
        said["retries"],
        seconds(said["start_period"]),
        seconds(said["start_interval"]),
    )


def seconds(text: str) -> float:
    """A duration as Compose writes it: `1m30s`."""
    parts = _DURATION.findall(text)
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The same with `${NAME}`, `${NAME:-default}` and `${NAME:?reason}` replaced in every text."""
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _replaced(found, variables), value)
    return value


def _replaced(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    given = variables.get(found["name"], "")
    if given or not found["how"]:
        return given
    if found["how"] == ":?":
        raise UnsetVariableError(f"{found['name']}: {found['word']}")
    return found["word"]
