"""The proxy of compose.yaml: the same program with the same configuration, moved to loopback."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import ROOT
from tests.deploy.containers import Container
from tests.deploy.names import Names

PROXY = "proxy"
CONFIGURATION = ROOT / "deploy" / "envoy.yaml"
_INSTALLED = ROOT / ".venv-deploy" / "bin" / "envoy"
_EVERYWHERE = "0.0.0.0"


def proxy_program() -> str | None:
    """Envoy, where it is installed (`make test` does it)."""
    return str(_INSTALLED) if _INSTALLED.exists() else shutil.which("envoy")


def localised_proxy(container: Container, names: Names) -> None:
    """Let the container run this machine's Envoy, on its address, with the test's name server."""
    program = proxy_program()
    assert program is not None
    written: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    written["admin"]["address"]["socket_address"]["address"] = container.address
    for listener in written["static_resources"]["listeners"]:
        place = listener["address"]["socket_address"]
        assert place["address"] == _EVERYWHERE
        place["address"] = container.address
    written["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/"
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [
                {"socket_address": {"address": "127.0.0.1", "port_value": names.port}},
            ],
            "dns_resolver_options": {"no_default_search_domain": True},
        },
    }
    place = container.log.with_suffix(".yaml")
    place.write_text(yaml.safe_dump(written))
    container.command = [_here(word, program, place) for word in container.command]
    # Two on one machine would share a region of memory otherwise.
    container.command += ["--disable-hot-restart"]


def _here(word: str, program: str, configuration: Path) -> str:
    return {"envoy": program, "/etc/envoy/envoy.yaml": str(configuration)}.get(word, word)
