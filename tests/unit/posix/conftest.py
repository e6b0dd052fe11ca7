"""The example is no package of ours: its folder joins the import path, as when its scripts run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples" / "posix"))
