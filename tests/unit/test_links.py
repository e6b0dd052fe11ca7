"""What documents and comments point at exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDERS = "docs|src|services|tests|benchmarks|examples|scripts|proto|locks"
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
MENTION = re.compile(rf"(?<![\w/.-])((?:{_FOLDERS})/[\w./-]+\.(?:md|py|sql|proto|txt|toml))\b")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


@pytest.mark.parametrize("page", tracked("*.md"), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_pages_links_lead_somewhere(page: Path):
    gone = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert gone == []


def test_files_that_pages_and_comments_name_exist():
    gone = {
        f"{page.relative_to(ROOT)}: {name}"
        for page in tracked("*.md", "*.py", "*.sql", "*.proto", "Makefile", "*.toml")
        for name in MENTION.findall(page.read_text())
        if not (ROOT / name).exists()
    }
    assert gone == set()
