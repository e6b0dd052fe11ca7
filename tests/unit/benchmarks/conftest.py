"""The benchmarks are scripts, no package of ours: their folder joins the import path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
