"""What `grantlog serve` makes of its flags before anything starts."""

from __future__ import annotations

import pytest

from grantlog.cli import serving
from grantlog.cli.__main__ import main


@pytest.fixture
def consistencies(monkeypatch) -> list[str]:
    """The consistency of each serving that was asked for; nothing starts."""
    asked: list[str] = []

    async def keep(options: serving.ServeOptions, _announce: object) -> None:
        asked.append(options.consistency)

    monkeypatch.setattr(serving, "serve_until_stopped", keep)
    return asked


@pytest.mark.parametrize(
    ("flags", "ring", "expected"),
    [
        ([], "off", "node"),
        (["--workers", "2"], "off", "head"),
        (["--database-url", "postgresql://x"], "off", "head"),
        ([], "postgres", "head"),
        (["--consistency", "bounded"], "postgres", "bounded"),
    ],
)
def test_only_the_only_writer_answers_from_what_it_knows(
    monkeypatch, consistencies, flags: list[str], ring: str, expected: str
):
    """A node of a ring has others beside it, which write too."""
    monkeypatch.setenv("GRANTLOG_RING", ring)
    assert main(["serve", *flags]) == 0
    assert consistencies == [expected]


def test_what_one_node_knows_is_refused_in_a_ring(monkeypatch, capsys, consistencies):
    monkeypatch.setenv("GRANTLOG_RING", "static")
    assert main(["serve", "--consistency", "node"]) == 1
    said = capsys.readouterr().err
    assert "--consistency node is right only for the only writer, and GRANTLOG_RING" in said
    assert said.count("\n") == 1
    assert not consistencies
