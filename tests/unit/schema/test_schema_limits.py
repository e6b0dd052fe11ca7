"""Every bound holds exactly, has a clear error, and keeps later steps from running away."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from grantlog.errors import SchemaError
from grantlog.schema import limits
from grantlog.schema.compile import compile_schema
from grantlog.schema.parse import parse_schema
from grantlog.schema.print import print_schema


def refusal(text: str) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        compile_schema(text)
    return caught.value


def letters(count: int) -> list[str]:
    """Distinct names of the same length."""
    names = itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=3)
    return ["_" + "".join(name) for name in itertools.islice(names, count)]


def test_a_schema_of_the_greatest_size_compiles_and_one_byte_more_is_refused() -> None:
    text = "entity user {}//"
    text += "é" * ((limits.schema_bytes_max - len(text)) // 2)
    assert len(text.encode()) == limits.schema_bytes_max
    compile_schema(text)
    assert "at most 262,144 are allowed" in refusal(text + "\n").problem


def test_a_name_of_128_bytes_is_the_longest() -> None:
    compile_schema(f"entity {'a' * 128} {{}}")
    error = refusal(f"entity {'a' * 129} {{}}")
    assert (error.line, error.column) == (1, 8)
    assert "129 bytes; the API addresses names of at most 128" in error.problem


def test_entities_are_bounded() -> None:
    texts = [f"entity {name} {{}}\n" for name in letters(limits.entities_max + 1)]
    compile_schema("".join(texts[:-1]))
    error = refusal("".join(texts))
    assert (error.line, error.column) == (1001, 8)
    assert "at most 1,000 entities" in error.problem


def test_members_of_an_entity_are_bounded() -> None:
    texts = [f"relation {name} @user\n" for name in letters(limits.members_max + 1)]
    compile_schema(f"entity user {{ {''.join(texts[:-1])} }}")
    assert "at most 1,000 members" in refusal(f"entity user {{ {''.join(texts)} }}").problem


def test_rules_are_bounded() -> None:
    texts = [f"rule {name}() {{ true }}\n" for name in letters(limits.rules_max + 1)]
    compile_schema("entity user {}" + "".join(texts[:-1]))
    assert "at most 500 rules" in refusal("entity user {}" + "".join(texts)).problem


def test_parameters_of_a_rule_are_bounded() -> None:
    names = letters(limits.parameters_max + 1)
    texts = [
        f"rule r({', '.join(f'{n} string' for n in most)}) {{ true }}"
        for most in (names[:-1], names)
    ]
    compile_schema("entity user {} " + texts[0])
    assert "at most 64 parameters" in refusal("entity user {} " + texts[1]).problem


def test_the_body_of_a_rule_is_bounded() -> None:
    body = "true" + " " * (limits.rule_bytes_max - 4)
    compile_schema(f"entity user {{}} rule r() {{{body}}}")
    error = refusal(f"entity user {{}} rule r() {{{body} }}")
    assert error.column == 25
    assert "longer than 16,384 bytes" in error.problem


def test_braces_in_a_rule_are_bounded_at_their_place() -> None:
    deep = limits.rule_nesting_max
    error = refusal("rule r() " + "{" * (deep + 1) + "}" * (deep + 1))
    assert (error.line, error.column) == (1, 10)
    assert "more than 32 deep" in error.problem


def chain(operands: int, *, right: bool = False) -> str:
    if right:
        expr = "a or (" * (operands - 1) + "a" + ")" * (operands - 1)
    else:
        expr = " or ".join(["a"] * operands)
    return f"entity user {{ relation a @user permission x = {expr} }}"


@pytest.mark.parametrize("right", [False, True])
def test_an_expression_of_the_greatest_depth_is_safe_for_every_later_step(right: bool) -> None:
    text = chain(limits.expression_depth_max + 1, right=right)
    first, second = compile_schema(text), compile_schema(text)
    assert first == second
    assert repr(first)
    assert hash(first.entities["user"].permissions["x"].expr)
    tree = parse_schema(text)
    assert parse_schema(print_schema(tree)) == tree


@pytest.mark.parametrize("right", [False, True])
def test_a_deeper_expression_is_refused_at_its_operator(right: bool) -> None:
    error = refusal(chain(limits.expression_depth_max + 2, right=right))
    assert "more than 200 operators deep" in error.problem
    assert error.column > 1


def test_brackets_alone_are_free() -> None:
    compile_schema("entity u { relation a @u permission x = " + "(" * 9000 + "a" + ")" * 9000 + "}")
    error = refusal("entity u { relation a @u permission x = " + "(" * 9000)
    assert error.column == 9041


def _calls(text: str) -> int:
    """How many functions run to compile the text: work that no busy machine can change."""
    count = 0

    def counted(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        compile_schema(text)
    finally:
        sys.setprofile(None)
    return count


def _broad(size: int) -> str:
    members = "".join(
        f"relation r{n} @user @group#member\npermission p{n} = r{n} or parent.p{n} not banned\n"
        for n in letters(size)
    )
    group = "entity group { relation member @user @group#member }\n"
    head = "relation parent @doc relation banned @user\n"
    return f"entity user {{}}\n{group}entity doc {{\n{head}{members}}}"


def _chain_of_usersets(size: int) -> str:
    names = letters(size)
    links = itertools.pairwise(names)
    text = "".join(f"entity {a} {{ relation r @{b}#r permission p = r.q }}\n" for a, b in links)
    return f"entity user {{ relation q @user }} {text} entity {names[-1]} {{ relation r @user }}"


def _permission_cycle(size: int) -> str:
    names = letters(size)
    refs = zip(names, names[1:] + names[:1], strict=True)
    return "entity d {" + "".join(f"permission {a} = {b} not {b}\n" for a, b in refs) + "}"


@pytest.mark.parametrize("shape", [_broad, _chain_of_usersets, _permission_cycle])
def test_work_grows_with_the_text_and_not_faster(shape: Callable[[int], str]) -> None:
    compile_schema("entity user {}")  # the parser itself is made once
    small, large = shape(40), shape(480)
    assert _calls(large) / _calls(small) < 1.2 * len(large) / len(small)
