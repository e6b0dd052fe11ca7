from __future__ import annotations

import os
import sys

import demo
import pytest
from posixfs.ending import end_with


def interrupted(*_: object) -> int:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py"])


def test_who_is_not_root_is_told_of_sudo_before_anything_is_done(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert demo.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("demo: not run: ")
    assert "sudo" in said
    assert said.count("\n") == 1


def test_an_interrupted_demo_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(demo, "why_not", lambda: None)
    monkeypatch.setattr(demo, "_run", interrupted)
    assert demo.main() == 130
    assert capsys.readouterr().err == "demo: interrupted\n"


def test_an_interrupted_step_says_nothing():
    with pytest.raises(SystemExit) as ended:
        end_with(interrupted)
    assert ended.value.code == 130
