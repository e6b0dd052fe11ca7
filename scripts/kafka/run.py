"""Run Apache Kafka on this machine: `make kafka ARGS='--data-dir /tmp/kafka --port 9092'`.

One node, KRaft, loopback only, for tests, benchmarks and trying things out. Only the standard
library. The process becomes the broker itself: its pid is the broker's, SIGTERM stops it cleanly,
SIGKILL is a crash, and a second start with the same folder and port goes on with what it holds.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / ".make" / "kafka" / "lib"
JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # half the time to start
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
# A topic that is deleted in a test is gone when the next one looks.
file.delete.delay.ms=1000
"""


def missing() -> str:
    """What this machine lacks to run a broker, "" if nothing."""
    if shutil.which("java") is None:
        return "java is not here (17 or newer is needed)"
    if not list(LIB.glob("kafka_*.jar")):
        return "Kafka is not here: `make kafka` fetches it, with Maven"
    return ""


def java(*arguments: str) -> list[str]:
    """The command of a Java program of Kafka's."""
    return ["java", *JAVA_OPTIONS, "-cp", f"{LIB}/*", *arguments]


def prepare(folder: Path, port: int, advertised_port: int = 0) -> Path:
    """Make a broker's folder, or find it as it was left; returns its properties file.

    Args:
        folder: where it keeps its data.
        port: where it listens.
        advertised_port: where it says that it listens, for a proxy in front of it; 0 is the same.

    Raises:
        SystemExit: the storage could not be formatted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    controller_port = _free_port()
    properties.write_text(
        PROPERTIES.format(
            port=port,
            advertised_port=advertised_port or port,
            controller_port=controller_port,
            folder=folder,
        )
    )
    if not (folder / "data" / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(b"k" + secrets.token_bytes(15)).decode().rstrip("=")
        command = java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"kafka: the folder could not be formatted: {done.stdout}{done.stderr}")
    return properties


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main() -> None:
    """Become the broker."""
    parser = argparse.ArgumentParser(description="Run Apache Kafka on this machine, one node.")
    parser.add_argument(
        "--data-dir", type=Path, help="where it keeps its data; default: thrown away"
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; default: a free one")
    parser.add_argument(
        "--advertised-port", type=int, default=0, help="of a proxy in front of it; default: none"
    )
    options = parser.parse_args()
    if lack := missing():
        sys.exit(f"kafka: {lack}")
    folder: Path = options.data_dir or Path(tempfile.mkdtemp(prefix="grantlog-kafka-"))
    port: int = options.port or _free_port()
    properties = prepare(folder.resolve(), port, options.advertised_port)
    print(f"kafka: GRANTLOG_KAFKA_BOOTSTRAP=127.0.0.1:{port}, data in {folder}", flush=True)
    command = java("kafka.Kafka", str(properties))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
