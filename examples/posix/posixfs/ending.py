"""How the scripts end: with an exit status, and without a traceback where they are interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, NoReturn

EXIT_INTERRUPTED: Final = 130


def end_with(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` returns, or with 130 after Ctrl-C."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
