"""Comparing what a page shows with what came."""

from __future__ import annotations

import pytest

from tests.pages.answers import difference
from tests.pages.blocks import Block, Step


def block(info: str, text: str) -> Block:
    return Block("page.md", 1, 0, tuple(info.split()), text)


def compared(shown: str, said: str, *, info: str = "json", shared: bool = False) -> str:
    return difference(Step(block("sh", "curl x\n"), block(info, shown), shared=shared), said)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ('{"a": [1, "x"]}', '{"a":[1,"x"]}'),
        ('{"a": 1}\n{"b": 2}', '{"a":1}{"b":2}'),
        ('{"snap_token": "old"}', '{"snap_token":"new"}'),
        ('{"continuous_token": ""}', '{"continuous_token":""}'),
        ('{"head": "v", "created_at": "then"}', '{"head":"w","created_at":"now"}'),
    ],
)
def test_what_is_the_same_but_for_layout_and_tokens_is_no_difference(shown: str, said: str):
    assert compared(shown, said) == ""


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ('{"a": 1}', '{"a":2}'),
        ('{"a": 1}', '{"a":1,"b":2}'),
        ('{"a": 1, "b": 2}', '{"a":1}'),
        ('{"a": true}', '{"a":1}'),
        ('{"a": 1}', '{"a":1}{"a":1}'),
        ('{"a": 1}', ""),
        ('{"a": 1}', '{"a":1} curl: (7) no'),
        ('{"a": [1, 2]}', '{"a":[2,1]}'),
        ('{"continuous_token": ""}', '{"continuous_token":"more"}'),
        ('{"snap_token": "old"}', '{"snap_token":""}'),
        ('{"metadata": {"snap_token": "x"}}', '{"metadata":null}'),
    ],
)
def test_whatever_else_differs_is_a_difference(shown: str, said: str):
    assert compared(shown, said) != ""


def test_a_part_may_leave_members_out_but_shows_none_that_do_not_come():
    assert compared('{"a": {"b": 1}}', '{"a":{"b":1,"c":2},"d":3}', info="json part") == ""
    assert compared('{"a": {"x": 1}}', '{"a":{"b":1}}', info="json part") != ""


def test_grpcurl_leaves_out_what_is_empty_and_wraps_nothing():
    shown = '{"result": {"id": "x", "token": "", "list": [], "on": false, "kind": "A_UNSPECIFIED"}}'
    assert compared(shown, '{\n  "id": "x"\n}', shared=True) == ""
    assert compared(shown, '{"id": "y"}', shared=True) != ""
    assert compared('{"count": 1}', "{}", shared=True) != ""


def test_texts_are_equal_but_for_tokens_versions_times_and_rates():
    shown = "id: AazLRplvzwAAAAEAAAAAAAAAGBBb7hxr\nat 00361khddlja7bgqv8e0 in 0.1 s (3,100/s)"
    came = "id: ARumKses3AAAAAEAAAAAAAAAA-FOKiKv\nat 00361kg03hgq07lua36u in 2.0 s (9/s)\n"
    assert compared(shown, came, info="text") == ""
    assert compared(shown, came.replace("id", "no"), info="text") != ""


def test_nothing_may_come_where_nothing_is_shown():
    step = Step(block("sh", "curl x\n"), None, shared=False)
    assert difference(step, "\n") == ""
    assert difference(step, "oh") != ""


@pytest.mark.parametrize(
    ("info", "line"), [("python", "print(x)  # 1"), ("js", "console.log(x);  // 1")]
)
def test_a_programs_comments_say_what_it_prints(info: str, line: str):
    step = Step(block(info, f"x = 1\n{line}\n"), None, shared=False)
    assert difference(step, "1\n") == ""
    assert difference(step, "2\n") != ""
    assert difference(step, "") != ""
    assert difference(step, "1\n1\n") != ""
