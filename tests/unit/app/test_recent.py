"""What was used last is kept."""

from __future__ import annotations

from grantlog.app.recent import Recent


def test_who_was_neither_found_nor_set_for_longest_goes_first():
    recent: Recent[str, int] = Recent(2)
    recent.set("a", 1)
    recent.set("b", 2)
    assert recent.find("a") == 1
    recent.set("c", 3)
    assert recent.find("b") is None
    assert [key for key, _ in recent.items()] == ["a", "c"]
    recent.set("a", 4)
    recent.set("d", 5)
    assert dict(recent.items()) == {"a": 4, "d": 5}
    assert len(recent) == 2


def test_what_is_dropped_is_gone_whether_it_was_there_or_not():
    recent: Recent[str, int] = Recent(2)
    recent.set("a", 1)
    recent.drop("a")
    recent.drop("b")
    assert recent.find("a") is None
    recent.set("c", 3)
    recent.clear()
    assert len(recent) == 0
