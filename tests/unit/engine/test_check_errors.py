"""Which answer or error comes out where operands fail."""

from __future__ import annotations

import pytest

from grantlog.errors import DepthExceededError, RuleFailedError
from tests.unit.engine.asking import Asking

SCHEMA = """
entity user {}
entity folder {
  attribute level integer
  permission pass = first(level)
}
entity doc {
  relation owner @user
  relation parent @folder
  attribute level integer
  permission broken = first(level)
  permission too = second(level)
  permission or_ = broken or owner
  permission and_ = broken and owner
  permission but = broken not owner
  permission unless = owner not broken
  permission left = broken or too
  permission right = too and broken
  permission through = parent.pass
  permission deep = d or broken
  permission d = e
  permission e = owner
}
rule first(level integer) {
  6 / level == 2
}
rule second(level integer) {
  7 / level == 2
}
"""
OWNER = "doc:1#owner@user:1"


def failing(question: str, **kwargs: object) -> str:
    with pytest.raises(RuleFailedError) as caught:
        Asking(SCHEMA, OWNER).check(question, **kwargs)
    return caught.value.explanation


def test_definite_answers_beat_errors():
    asking = Asking(SCHEMA, OWNER)
    assert asking.allowed("doc:1#or_@user:1")
    assert not asking.allowed("doc:1#and_@user:2")
    assert not asking.allowed("doc:1#but@user:1")
    assert not asking.allowed("doc:1#unless@user:2")


def test_an_error_that_matters_comes_out():
    assert "first" in failing("doc:1#or_@user:2")
    assert "first" in failing("doc:1#and_@user:1")
    assert "first" in failing("doc:1#but@user:2")
    assert "first" in failing("doc:1#unless@user:1")


def test_of_two_errors_the_first_in_source_order_comes_out():
    assert "first" in failing("doc:1#left@user:1")
    assert "second" in failing("doc:1#right@user:1")


def test_running_out_of_depth_is_an_error_among_others():
    with pytest.raises(DepthExceededError):
        Asking(SCHEMA, OWNER).check("doc:1#deep@user:1", depth=2)
    assert "first" in failing("doc:1#deep@user:2", depth=3)
    assert Asking(SCHEMA, OWNER).allowed("doc:1#deep@user:1", depth=3)


def test_one_parent_that_allows_outweighs_others_that_fail():
    facts = "doc:1#parent@folder:a doc:1#parent@folder:b folder:b$level|integer:3"
    assert Asking(SCHEMA, facts).allowed("doc:1#through@user:1")
    with pytest.raises(RuleFailedError):
        Asking(SCHEMA, facts.replace("r:3", "r:4")).check("doc:1#through@user:1")
