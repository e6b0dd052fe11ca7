"""Write the tables of flags and variables into docs/operations.md; `--check` only compares.

The flags come from the command itself, the variables from the services' settings classes, so the
page cannot say something else than the programs do.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import typer
from grantlog_api.settings import ApiSettings
from grantlog_projector.settings import ProjectorSettings
from grantlog_watch.settings import WatchServiceSettings
from pydantic.fields import FieldInfo

from grantlog.cli.app import app
from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.runtime.settings import ENV_PREFIX, ServiceSettings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def serve_flags() -> str:
    """The flags of `grantlog serve`."""
    group = typer.main.get_command(app)
    command = group.commands["serve"]  # type: ignore[attr-defined]
    rows = []
    for option in command.params:
        if option.envvar:
            names = option.envvar if isinstance(option.envvar, list) else [option.envvar]
            default = "" if option.default in {None, False} else f"`{option.default}`"
            variables = ", ".join(f"`{name}`" for name in names)
            rows.append(f"| `{option.opts[0]}` | {variables} | {default} | {option.help} |")
    return table("| flag | variable | default | |", rows)


def variables(
    settings: type[ServiceSettings], without: type[ServiceSettings] = ServiceSettings
) -> str:
    """The variables of a service that `grantlog serve` has no flag for, nor another table."""
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` | {shown(field)} | {meaning(field)} |"
        for name, field in settings.model_fields.items()
        if name not in without.model_fields and f"`{ENV_PREFIX}{name.upper()}`" not in serve_flags()
    ]
    return table("| variable | default | |", rows)


def shown(field: FieldInfo) -> str:
    """A field's default."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is None else f"`{default}`"


def meaning(field: FieldInfo) -> str:
    """What a field is, as its class says."""
    return (field.description or "").replace("\n", " ")


def table(head: str, rows: list[str]) -> str:
    """A Markdown table."""
    return "\n".join([head, re.sub(r"[^|]+", "---", head), *rows]) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "serve": serve_flags,
    "api": lambda: variables(ApiSettings, KafkaSettings),
    "projector": lambda: variables(ProjectorSettings, KafkaSettings),
    "watch": lambda: variables(WatchServiceSettings, KafkaSettings),
    "kafka": lambda: variables(KafkaSettings),
}


def main() -> int:
    """Write the page, or compare; the exit code tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    only_compare = parser.parse_args().check
    page = PAGE.read_text()
    fresh = BLOCK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], page)
    if page == fresh:
        return 0
    if only_compare:
        sys.stderr.write(f"{PAGE.name} is not what the programs say: make fix writes it anew\n")
        return 1
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
