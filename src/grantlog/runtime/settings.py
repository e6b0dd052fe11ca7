"""What services' settings have in common, and the places that depend on the user."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from grantlog.errors import InvalidInputError
from grantlog.runtime.logging import LogLevel
from grantlog.runtime.wrong_settings import said_of

ENV_PREFIX: Final = "GRANTLOG_"
INVALID_SETTING: Final = "INVALID_SETTING"

_NOT_OURS: Final = re.compile(
    r"GRANTLOG_TEST_"  # the tests' own
    # What Kubernetes tells every pod of a Service called grantlog, or grantlog-something.
    r"|GRANTLOG_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_[0-9]+_(TCP|UDP)\w*)$"
)

KNOWN: Final = frozenset(
    {
        "GRANTLOG_BEAT_S",
        "GRANTLOG_CHANGES_PER_SLICE_MAX",
        "GRANTLOG_CALL_LINES",
        "GRANTLOG_CHANGES_PER_WRITE_MAX",
        "GRANTLOG_CONSISTENCY",
        "GRANTLOG_COPY_REVISIONS_MIN",
        "GRANTLOG_COPY_ROWS_PER_PAGE_MAX",
        "GRANTLOG_CORS_ALLOWED_ORIGINS",
        "GRANTLOG_DATABASE_URL",
        "GRANTLOG_DATA_DIR",
        "GRANTLOG_DRAIN_S_MAX",
        "GRANTLOG_FACTS_PER_WRITE_MAX",
        "GRANTLOG_FALLBACK_CONNECTIONS_MAX",
        "GRANTLOG_GRPC_ADDRESS",
        "GRANTLOG_GRPC_PORT",
        "GRANTLOG_GRPC_SERVER",
        "GRANTLOG_HISTORY_WINDOW_S",
        "GRANTLOG_HOST",
        "GRANTLOG_HTTP_PORT",
        "GRANTLOG_KAFKA_BOOTSTRAP",
        "GRANTLOG_KAFKA_FORMAT",
        "GRANTLOG_KAFKA_PARTITIONS",
        "GRANTLOG_KAFKA_PUBLISH",
        "GRANTLOG_KAFKA_READER_SOCKET",
        "GRANTLOG_KAFKA_REPLICATION",
        "GRANTLOG_KAFKA_RETENTION_HOURS",
        "GRANTLOG_KAFKA_SASL_MECHANISM",
        "GRANTLOG_KAFKA_SASL_PASSWORD",
        "GRANTLOG_KAFKA_SASL_USERNAME",
        "GRANTLOG_KAFKA_SECURITY_PROTOCOL",
        "GRANTLOG_KAFKA_TLS_CA_FILE",
        "GRANTLOG_KAFKA_TLS_CERT_FILE",
        "GRANTLOG_KAFKA_TLS_KEY_FILE",
        "GRANTLOG_KAFKA_TOPIC",
        "GRANTLOG_LINGER_S",
        "GRANTLOG_LIST_CONNECTIONS_MAX",
        "GRANTLOG_LOG_LEVEL",
        "GRANTLOG_LOOKUP_CONNECTIONS_MAX",
        "GRANTLOG_PG_BIN",
        "GRANTLOG_READ_CONNECTIONS_MAX",
        "GRANTLOG_RELATION_CACHE_MB",
        "GRANTLOG_REPLICA_NAME",
        "GRANTLOG_REPLICA_URL",
        "GRANTLOG_REQUEST_TIMEOUT_S",
        "GRANTLOG_RESULT_CACHE_MB",
        "GRANTLOG_RING",
        "GRANTLOG_RING_HOST",
        "GRANTLOG_RING_NODES",
        "GRANTLOG_RING_PORT",
        "GRANTLOG_SHARE_PORTS",
        "GRANTLOG_STALENESS_S_MAX",
        "GRANTLOG_STREAMS_MAX",
        "GRANTLOG_STREAM_STALL_S_MAX",
        "GRANTLOG_TENANT",
        "GRANTLOG_UPKEEP_S",
        "GRANTLOG_WATCH_ADDRESS",
        "GRANTLOG_WATCH_CHANGES_MAX",
        "GRANTLOG_WATCH_CONNECTIONS_MAX",
        "GRANTLOG_WATCH_HEARTBEAT_S",
        "GRANTLOG_WATCH_TRANSACTIONS_MAX",
        "GRANTLOG_WITH_REPLICA",
        "GRANTLOG_WORKER",
        "GRANTLOG_WORKERS",
        "GRANTLOG_WRITE_CONNECTIONS_MAX",
    }
)
"""Every variable that a service or the command reads; a test compares it with them."""

S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """Base of a service's settings: `GRANTLOG_*` variables, nested names joined by `__`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # it may hold a password
    )

    log_level: LogLevel = "info"
    """Least level that is logged."""


def read_settings(settings: type[S]) -> S:
    """A service's settings, read from the environment.

    Raises:
        InvalidInputError: a variable is missing, wrong or unknown; the text names it, not its
            value, which may be a secret.
    """
    refuse_unknown_settings()
    try:
        return settings()
    except ValidationError as errors:
        fields = settings.model_fields
        told = [said_of(error, _variable(error["loc"]), fields) for error in errors.errors()]
    except SettingsError as error:  # a list that is no JSON
        name = re.search(r'field "(\w+)"', str(error))
        told = [f'{_variable((name[1] if name else "",))}: expected JSON, as \'["a", "b"]\'']
    raise InvalidInputError("; ".join(told), reason=INVALID_SETTING)


def refuse_unknown_settings() -> None:
    """Refuse a `GRANTLOG_*` variable that nothing here reads: it is a setting mistyped.

    Raises:
        InvalidInputError: there is one.
    """
    environment = os.environ  # noqa: TID251 - this is a settings module
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX) or name in KNOWN or _NOT_OURS.match(name):
            continue
        near = get_close_matches(name, KNOWN, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}?" if near else "docs/operations.md lists them"
        raise InvalidInputError(
            f"{name} is not a setting of Grantlog: {hint}", reason=INVALID_SETTING
        )


def _variable(place: tuple[int | str, ...]) -> str:
    return ENV_PREFIX + "__".join(map(str, place)).upper() if place else ""


def default_data_dir() -> Path:
    """Where `grantlog serve` keeps its data: the machine's place for root, else the user's."""
    if os.geteuid() == 0:
        return Path("/var/lib/grantlog")
    shared = os.environ.get("XDG_DATA_HOME", "")  # noqa: TID251 - this is a settings module
    base = Path(shared) if Path(shared).is_absolute() else Path.home() / ".local" / "share"
    return base / "grantlog"


def inherited_environment(*, without: Collection[str]) -> dict[str, str]:
    """The environment that child processes begin with: this one, less some variables."""
    inherited = os.environ  # noqa: TID251 - this is a settings module
    return {name: value for name, value in inherited.items() if name not in without}


def own_settings() -> dict[str, str]:
    """The `GRANTLOG_*` variables of this process, for processes that do a part of its work."""
    own = os.environ  # noqa: TID251 - this is a settings module
    return {name: value for name, value in own.items() if name.startswith(ENV_PREFIX)}


def has_ring() -> bool:
    """Whether the API nodes that this process starts are told of others, who write too."""
    return own_settings().get("GRANTLOG_RING", "off") != "off"
