"""Warnings: what is allowed and probably not meant, at its place, and nothing else."""

from __future__ import annotations

import pytest

from grantlog.schema import limits
from grantlog.schema.compile import compile_schema

DEPENDS = "depends on itself through the right side of this `not`"
NOTHING = "refers back to itself here without a relation in between"
IDLE = "such a subject adds nothing"


def warned(text: str) -> list[tuple[int, int, str]]:
    return [(w.line, w.column, w.text) for w in compile_schema(text).warnings]


def check(text: str, *expected: tuple[int, int, str]) -> None:
    found = warned(text)
    assert [(line, column) for line, column, _ in found] == [e[:2] for e in expected], found
    for (_, _, text_), (_, _, words) in zip(found, expected, strict=True):
        assert words in text_


def test_a_relation_of_its_own_members_is_no_reason_to_warn() -> None:
    check(
        """entity user {}
        entity group { relation member @user @group#member }
        entity folder {
            relation parent @folder
            relation viewer @user @group#member
            relation banned @user
            permission view = (viewer or parent.view) not banned
        }"""
    )


@pytest.mark.parametrize(
    ("expr", "column"),
    [
        ("a not parent.x", 20),
        ("a not (a and parent.x)", 20),
        ("a or (a not parent.x)", 26),
        ("(a not (a not parent.x))", 21),
        ("a and not parent.x", 20),
    ],
)
def test_recursion_through_an_arrow_right_of_not_is_warned_at_the_outermost_not(
    expr: str, column: int
) -> None:
    text = f"""entity user {{}}
entity doc {{
  relation a @user
  relation parent @doc
  permission x = {expr}
}}"""
    check(text, (5, column, f"`doc.x` {DEPENDS}"))


def test_recursion_left_of_not_is_fine() -> None:
    check("entity d { relation p @d relation a @d permission x = p.x not a }")


def test_recursion_through_another_entity_is_found() -> None:
    check(
        """entity user {}
entity a { relation b @b relation u @user permission x = u not b.y }
entity b { relation a @a permission y = a.x }""",
        (2, 60, f"`a.x` {DEPENDS}"),
    )


def test_recursion_through_a_userset_is_no_permission_matter() -> None:
    check("entity u {} entity g { relation m @u @g#m relation k @u permission x = k not m }")


def test_one_warning_a_cycle() -> None:
    text = "entity d { relation p @d permission x = p not p.y\npermission y = p not p.x }"
    check(text, (1, 43, DEPENDS))


def test_permissions_that_only_refer_to_each_other_are_warned_once() -> None:
    check("entity d { permission a = b\npermission b = a }", (1, 27, f"`d.a` {NOTHING}"))
    check("entity d { permission a = a }", (1, 27, f"`d.a` {NOTHING}"))
    check("entity d { relation r @d permission a = r or a }", (1, 46, f"`d.a` {NOTHING}"))


def test_a_cycle_through_not_without_data_is_warned_as_one_through_not() -> None:
    check("entity d { relation r @d permission a = r not a }", (1, 43, f"`d.a` {DEPENDS}"))


def test_an_arrow_over_usersets_of_an_entity_without_the_name_is_warned() -> None:
    text = """entity user { permission view = view_ relation view_ @user }
entity group { relation member @user @group#member }
entity doc {
  relation team @group#member @user
  permission x = team.view
}"""
    check(text, (5, 18, "`team` admits usersets of `group`, and `group` itself has no `view`"))
    assert IDLE in warned(text)[0][2]


def test_an_arrow_whose_userset_entity_has_the_name_is_fine() -> None:
    check(
        """entity user { relation self @user permission view = self }
        entity group { relation member @user permission view = member }
        entity doc { relation team @group#member permission x = team.view }"""
    )


def test_warnings_come_in_source_order() -> None:
    found = warned(
        "entity d { relation p @d permission a = a\npermission b = p not p.b\npermission c = c }"
    )
    assert [line for line, _, _ in found] == [1, 2, 3]


def test_warnings_are_bounded() -> None:
    members = "".join(f"permission {'a' * n} = {'a' * n}\n" for n in range(1, 60))
    text = f"entity d {{ {members} }} entity e {{ {members} }}"
    assert len(warned(text)) == limits.warnings_max


def test_a_graph_too_large_to_search_says_so() -> None:
    types = [f"e{'a' * n}" for n in range(1, 41)]
    names = [f"_{x}{y}" for x in "abcdefghij" for y in "abcdefghij"]
    offers = "".join(f"permission {n} = on\n" for n in names)
    text = "".join(f"entity {t} {{ attribute on boolean\n{offers} }}\n" for t in types)
    admits = " ".join(f"@{t}" for t in types)
    arrows = "".join(
        f"relation r{x} {admits}\n"
        + "".join(f"permission p{x}{n} = r{x}.{n}\n" for n in names[:100])
        for x in "abcd"
    )
    ends = "".join(f"entity d{x} {{ {arrows} }}\n" for x in "ghij")
    found = warned(text + ends)
    assert [(line, column) for line, column, _ in found] == [(1, 1)]
    assert "not all were looked at" in found[0][2]
