"""A real Kafka that asks who we are, and proves who it is."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from grantlog.changelog.kafka.client import KafkaOptions, SaslMechanism, SecurityProtocol
from grantlog.runtime.os_process import die_with_parent
from tests.kafka import why_not_here
from tests.ports import kept_port

USER, PASSWORD = "grantlog", "a-secret"
_RUN = Path(__file__).resolve().parents[1] / "scripts" / "kafka" / "run.py"
_STARTED_WITHIN_S = 60.0

_PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls},BOTH://127.0.0.1:{both}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},\
TLS://127.0.0.1:{tls},BOTH://127.0.0.1:{both}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,\
TLS:SSL,BOTH:SASL_SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.both.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.both.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ours.pem
listener.name.tls.ssl.client.auth=required
"""


@dataclass(frozen=True)
class Secured:
    """Its doors, and a folder with certificates: `ours.pem` signs, `other.pem` signs nothing."""

    folder: Path
    sasl: int
    tls: int
    both: int

    def options(
        self,
        protocol: SecurityProtocol,
        mechanism: SaslMechanism = "PLAIN",
        *,
        password: str = PASSWORD,
        ca: str = "ours.pem",
        certificate: str = "client",
    ) -> KafkaOptions:
        port = {"SASL_PLAINTEXT": self.sasl, "SSL": self.tls, "SASL_SSL": self.both}[protocol]
        client = self.folder / certificate if certificate else None
        return KafkaOptions(
            f"127.0.0.1:{port}", protocol, mechanism, USER, password,
            tls_ca_file=str(self.folder / ca),
            tls_cert_file=f"{client}.pem" if client else None,
            tls_key_file=f"{client}.key" if client else None,
        )  # fmt: skip


@contextmanager
def secured_broker() -> Iterator[Secured]:
    """A broker for the block; skips the test where none can run."""
    reason = why_not_here() or ("" if shutil.which("openssl") else "no Kafka with TLS: no openssl")
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="grantlog-kafka-", dir="/tmp"))
    process = None
    try:
        certify(folder)
        plain, controller, *doors = (kept_port() for _ in range(5))
        run = _run()
        properties = folder / "server.properties"
        ports = dict(zip(("sasl", "tls", "both"), doors, strict=True))
        properties.write_text(
            run.PROPERTIES.format(
                port=plain, controller_port=controller, folder=folder, advertised_port=plain
            )
            + _PROPERTIES.format(
                plain=plain, controller=controller, folder=folder, user=USER, password=PASSWORD,
                **ports,
            )
        )  # fmt: skip
        scram = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
        formatted = run.java(
            "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ",
            "-c", str(properties), "--add-scram", scram,
        )  # fmt: skip
        subprocess.run(formatted, check=True, capture_output=True)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                run.java("kafka.Kafka", str(properties)),
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while not all(map(_answers, doors)):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield Secured(folder, **ports)
    finally:
        if process is not None:
            process.kill()
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def certify(folder: Path) -> None:
    """Make two authorities, a broker's certificate and two clients'."""
    for name in ("ours", "other"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip
    for name, authority in (("broker", "ours"), ("client", "ours"), ("stranger", "other")):
        _openssl(
            folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        (folder / f"{name}.ext").write_text("subjectAltName = IP:127.0.0.1\n")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-days", "30", "-CA", f"{authority}.pem",
            "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", f"{name}.ext",
            "-out", f"{name}.pem",
        )  # fmt: skip
    both = (folder / "broker.key").read_text() + (folder / "broker.pem").read_text()
    (folder / "broker.both").write_text(both)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grantlog_kafka_run", _RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
