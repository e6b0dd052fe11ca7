"""The command `grantlog`: every error is one line on stderr and an exit code.

0 done · 1 it could not be done, and the line says why · 2 the command line is wrong · 3 `data
import` ended with rejects · 70 a defect, with its traceback · 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Final

import typer
from typer.exceptions import TyperException

from grantlog.cli.app import app
from grantlog.errors import GrantlogError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_DEFECT: Final = 70
EXIT_INTERRUPTED: Final = 130


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code."""
    try:
        code: object = typer.main.get_command(app).main(
            list(arguments), prog_name="grantlog", standalone_mode=False
        )
    except TyperException as error:
        _tell_usage(error)
        return EXIT_USAGE
    except GrantlogError as error:
        _tell(error.explanation or error.reason)
        return EXIT_FAILED
    except OSError as error:
        _tell(str(error))
        return EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        _tell("interrupted")
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the last line of the process
        traceback.print_exc()
        _tell("this is a defect of grantlog; please report it with the lines above")
        return EXIT_DEFECT
    return code if isinstance(code, int) else 0


def _tell(text: str) -> None:
    sys.stderr.write(f"grantlog: {text}\n")


_IN_OUR_WORDS: Final = (
    ("Input should be a valid integer, unable to parse string as an integer", "not a whole number"),
    ("Input should be greater than or equal to", "must be at least"),
    ("Input should be less than or equal to", "must be at most"),
    ("Value error, ", ""),
)
"""What pydantic says to typer of a flag, and what the same setting's variable is told."""


def _tell_usage(error: TyperException) -> None:
    """One line and where to read on; the help itself, as laid out, where nothing was asked for."""
    text = error.format_message()
    if text.startswith("Usage:"):
        sys.stderr.write(text.rstrip() + "\n")
        return
    command: object = getattr(getattr(error, "ctx", None), "command_path", "grantlog")
    for theirs, ours in _IN_OUR_WORDS:
        text = text.replace(theirs, ours)
    _tell(f"{_one_line(text)} (see {command} --help)")


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


if __name__ == "__main__":
    run()
