"""What services' settings have in common, and the places that depend on the user."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings, SettingsConfigDict

from grantlog.runtime.logging import LogLevel

ENV_PREFIX: Final = "GRANTLOG_"


class ServiceSettings(BaseSettings):
    """Base of a service's settings: `GRANTLOG_*` variables, nested names joined by `__`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    log_level: LogLevel = "info"
    """Least level that is logged."""


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
