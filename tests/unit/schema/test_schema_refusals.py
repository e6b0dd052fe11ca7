"""Every kind of error: its reason, its exact place and its words."""
# ruff: noqa: E501 - a table of cases reads best with one case a line

from __future__ import annotations

import pytest

from grantlog.errors import SchemaError
from grantlog.schema.compile import compile_schema
from grantlog.schema.diagnose import KEYWORDS

PARSE = "SCHEMA_PARSE"
COMPILE = "SCHEMA_COMPILE"
UNDEFINED = "UNDEFINED_RELATION_REFERENCE"
NO_REFERENCE = "RELATION_REFERENCE_NOT_FOUND_IN_ENTITY_REFERENCES"


def refusal(text: str) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        compile_schema(text)
    return caught.value


def check(text: str, line: int, column: int, reason: str, words: str) -> None:
    error = refusal(text)
    assert (error.line, error.column) == (line, column), error.explanation
    assert error.reason == f"ERROR_CODE_{reason}"
    assert words in error.problem


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("hello 123 $$ entity user {}", 1, 1, "expected `entity`, `rule` or the end of the text, found `hello`"),
        ("entity user {} }", 1, 16, "found `}`"),
        ("entity user {}\nrelation a @user", 2, 1, "`relation` belongs inside an entity"),
        ("entity a {\n entity b {}", 2, 2, "the entity before this `entity` is not closed"),
        ("entity a { { }", 1, 12, "expected `relation`, `attribute`, `permission` or `}`, found `{`"),
        ("entity a {  \n\n", 1, 11, "found the end of the text"),
        ("entity {}", 1, 8, "expected a name, found `{`"),
        ("entity in {}", 1, 8, "`in` is a word of the language and cannot be a name"),
        ("entity d { permission action = a }", 1, 23, "`action` is a word of the language"),
        ("entity d { relation true @d }", 1, 21, "`true` is a word of the language"),
        ("entity user1 {}", 1, 12, "the digit `1` cannot be part of one"),
        ("entity d { relation 2nd @d }", 1, 21, "the digit `2` cannot be part of one"),
        ("entity my-doc {}", 1, 10, "`-` cannot be part of one"),
        ("entity d { relation größe @d }", 1, 23, "`ö` cannot be part of one"),
        ("entity d { relation a @d1 }", 1, 25, "`d1` is not a name"),
        ("entity d { permission x = a.b1 }", 1, 30, "`b1` is not a name"),
        ("entity d { relation a }", 1, 23, "expected `@` and an entity type, found `}`"),
        ("entity d { relation a user }", 1, 23, "with `@`, as `@user`"),
        ("entity d { relation a @d#}", 1, 26, "expected a name, found `}`"),
        ("entity d { attribute a }", 1, 24, "expected a name, found `}`"),
        ("entity d { attribute a string[ }", 1, 32, "expected `]`, found `}`"),
        ("entity d { permission x a }", 1, 25, "expected `=`, found `a`"),
        ("entity d { permission x = }", 1, 27, "expected a name or `(`, found `}`"),
        ("entity d { permission x = a or }", 1, 32, "expected a name or `(`, found `}`"),
        ("entity d { permission x = a b }", 1, 29, "an operator (`or`, `and`, `not`)"),
        ("entity d { permission x = (a or b }", 1, 35, "expected `)` or an operator"),
        ("entity d { permission x = not a }", 1, 27, "`not` stands between two operands, as in `a not b`"),
        ("entity d { permission x = a or not b }", 1, 32, "`not` stands between two operands"),
        ("entity d { permission x = a; or b }", 1, 30, "found `or`"),
        ("entity d { permission x = a(b c) }", 1, 31, "expected `)` or `,`, found `c`"),
        ("entity d { permission x = 'a' }", 1, 27, "strings have a place inside rule bodies only"),
        ("entity d { permission x = $a }", 1, 27, "found `$`"),
        ("entity d { relation a\u00a0@d }", 1, 22, "found U+00A0 (no-break space)"),
        ("entity d {} /* no end", 1, 13, "this comment is never closed: add `*/`"),
        ("entity d { /* no end }\n\n", 1, 12, "this comment is never closed"),
        ("rule r() { a ", 1, 13, "the body of this rule is never closed: add `}`"),
        ("rule r() { {'a': 1}\n", 1, 20, "the body of this rule is never closed"),
        ("rule r() { 'a }", 1, 12, "this string is never closed: add `'`"),
        ('rule r() { a == "x\n" }', 1, 17, 'this string is never closed: add `"`'),
        ('rule r() { """ " }', 1, 12, "this string is never closed"),
        ("rule r() { a /* } ", 1, 14, "this comment is never closed"),
        ("rule r(a) { a }", 1, 9, "expected a name, found `)`"),
        ("rule r() { a } }", 1, 16, "expected `entity`, `rule` or the end of the text, found `}`"),
        ("entity d\n\0{}", 2, 1, "a NUL character"),
        ("entity d {} // \0", 1, 16, "a NUL character"),
        ("entity d {} // \ud800", 1, 16, "half of a surrogate pair (U+D800)"),
    ],
)  # fmt: skip
def test_a_text_outside_the_grammar_is_refused_where_it_leaves_it(
    text: str, line: int, column: int, words: str
) -> None:
    check(text, line, column, PARSE, words)


DOC = """entity user { attribute age integer }
entity group { relation member @user @group#member permission view = member }
entity doc {
    relation owner @user
    relation team @group#member
    relation parent @doc @group
    attribute tags string[]
    attribute level integer
    attribute public boolean
    permission view = owner
    %s
}
rule high(level integer) { level > 1 }
rule both(level integer, tags string[]) { level > 1 && 'a' in tags }
rule never() { true }
rule named(lvl integer) { lvl > 1 }
rule other(level string) { level == 'x' }
"""


@pytest.mark.parametrize(
    ("member", "column", "reason", "words"),
    [
        ("relation x @usr", 17, NO_REFERENCE, "there is no entity `usr`; did you mean `user`?"),
        ("relation x @high", 17, NO_REFERENCE, "there is no entity `high`"),
        ("relation x @group#members", 23, NO_REFERENCE, "`members` is not a relation of `group`; did you mean `member`?"),
        ("relation x @group#view", 23, NO_REFERENCE, "only a relation can follow `#`"),
        ("relation x @user#age", 22, NO_REFERENCE, "only a relation can follow `#`"),
        ("relation owner @user", 14, "DUPLICATED_RELATION_REFERENCE", "`owner` is declared twice, first at 4:14"),
        ("attribute owner string", 15, "DUPLICATED_RELATION_REFERENCE", "first at 4:14"),
        ("permission owner = view", 16, "DUPLICATED_PERMISSION_REFERENCE", "first at 4:14"),
        ("permission view = owner", 16, "DUPLICATED_PERMISSION_REFERENCE", "first at 10:16"),
        ("attribute x strng", 17, "INVALID_ARGUMENT", "`strng` is not a type"),
        ("attribute x user[]", 17, "INVALID_ARGUMENT", "`user[]` is not a type"),
        ("permission x = ownr", 20, UNDEFINED, "`ownr` is not a relation, permission or attribute of `doc`; did you mean `owner`?"),
        ("permission x = owner or (view not ownr)", 39, UNDEFINED, "`ownr`"),
        ("permission x = high", 20, UNDEFINED, "a rule is called with attributes"),
        ("permission x = level", 20, COMPILE, "of type integer; only a boolean attribute can stand alone"),
        ("permission x = tags", 20, COMPILE, "of type string[]"),
        ("permission x = prnt.view", 20, UNDEFINED, "`prnt` is not a relation of `doc`; did you mean `parent`?"),
        ("permission x = view.view", 20, UNDEFINED, "what stands before a dot must be a relation"),
        ("permission x = public.view", 20, UNDEFINED, "what stands before a dot must be a relation"),
        ("permission x = owner.view", 26, UNDEFINED, "`owner` leads to `user`, which has no relation or permission `view`"),
        ("permission x = owner.age", 26, UNDEFINED, "`age` is an attribute there, so wrap it in a permission"),
        ("permission x = parent.owner", 27, UNDEFINED, "`parent` leads to `group`, which has no relation or permission `owner`"),
        ("permission x = team.member", 25, UNDEFINED, "`team` leads to `user`, which has no relation or permission `member`"),
        ("permission x = parent.parent.view", 20, "NOT_SUPPORTED_RELATION_WALK", "`parent.parent.view` walks more than one step"),
        ("permission x = hig(level)", 20, "INVALID_RULE_REFERENCE", "there is no rule `hig`; did you mean `high`?"),
        ("permission x = doc(level)", 20, "INVALID_RULE_REFERENCE", "there is no rule `doc`"),
        ("permission x = high()", 20, "MISSING_ARGUMENT", "takes 1 argument (level), this call passes 0"),
        ("permission x = never()", 20, "MISSING_ARGUMENT", "takes no arguments (and so cannot be called)"),
        ("permission x = both(level)", 20, "MISSING_ARGUMENT", "takes 2 arguments (level, tags), this call passes 1"),
        ("permission x = high(level, tags)", 20, "MISSING_ARGUMENT", "this call passes 2"),
        ("permission x = both(level, level)", 32, "INVALID_ARGUMENT", "`level` is passed twice"),
        ("permission x = high(owner)", 25, "INVALID_RULE_REFERENCE", "`owner` is not an attribute of `doc`"),
        ("permission x = high(levl)", 25, "INVALID_RULE_REFERENCE", "did you mean `level`?"),
        ("permission x = high(parent.level)", 25, "NOT_SUPPORTED_WALK", "`parent.level` has a dot"),
        ("permission x = named(level)", 26, "INVALID_ARGUMENT", "has no parameter `level` (arguments bind by name); it takes 1 argument (lvl)"),
        ("permission x = other(level)", 26, "INVALID_ARGUMENT", "the attribute `level` is of type integer, the parameter of `other` of type string"),
    ],
)  # fmt: skip
def test_a_member_that_does_not_fit_is_refused_at_its_word(
    member: str, column: int, reason: str, words: str
) -> None:
    check(DOC % member, 11, column, reason, words)


@pytest.mark.parametrize("text", ["", "  \n", "// nothing\n", ";", "rule r() { true }"])
def test_a_schema_without_an_entity_is_refused(text: str) -> None:
    check(text, 1, 1, "NO_ENTITY_REFERENCES_FOUND_IN_SCHEMA", "declares no entity")


def test_entities_and_rules_share_one_namespace() -> None:
    check("entity a {}\nentity a {}", 2, 8, "DUPLICATED_ENTITY_REFERENCE", "first at 1:8")
    check("entity a {}\nrule a() { true }", 2, 6, "DUPLICATED_ENTITY_REFERENCE", "first at 1:8")
    check("rule a() { true } entity a {}", 1, 26, "DUPLICATED_ENTITY_REFERENCE", "first at 1:6")


@pytest.mark.parametrize(
    ("parameters", "column", "reason", "words"),
    [
        ("a integ", 10, "INVALID_ARGUMENT", "`integ` is not a type"),
        ("a integer, a string", 19, "INVALID_ARGUMENT", "the parameter `a` is declared twice"),
        ("context string", 8, "INVALID_ARGUMENT", "`context` is always there"),
        ("a string, int integer", 18, COMPILE, "`int` is a name that CEL keeps for itself"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_at_its_word(
    parameters: str, column: int, reason: str, words: str
) -> None:
    text = f"rule r({parameters}) {{ true }}\nentity user {{}}"
    check(text, 1, column, reason, words)


def test_the_first_error_in_source_order_is_the_one_reported() -> None:
    text = """entity user {}
    entity a { relation x @nobody }
    entity b { permission y = nothing relation y @user }
    rule r() { 1 }"""
    check(text, 2, 28, NO_REFERENCE, "nobody")
    text = text.replace("@nobody", "@user")
    check(text, 3, 31, UNDEFINED, "nothing")
    text = text.replace("= nothing", "= y")
    check(text, 3, 42, "DUPLICATED_RELATION_REFERENCE", "first at 3:27")
    text = text.replace("relation y", "relation z")
    check(text, 4, 16, COMPILE, "must be bool, this is int")


def test_an_error_elsewhere_is_not_reported_through_what_uses_it() -> None:
    text = "entity a {\n permission x = r.x\n permission y = q(l)\n relation r @nobody\n attribute l lst }"
    check(text + "\nrule q(l integer) { true }", 4, 14, NO_REFERENCE, "nobody")


@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_no_word_of_the_language_is_a_name(word: str) -> None:
    check(f"entity {word} {{}}", 1, 8, PARSE, f"`{word}` is a word of the language")
    check(f"entity d {{ permission {word} = d }}", 1, 23, PARSE, f"`{word}` is a word of the")
    compile_schema(f"entity {word}s {{ permission _{word} = _{word} }}")


def test_a_bad_name_comes_before_a_later_syntax_error() -> None:
    check("entity user1 {}\nentity }", 1, 12, PARSE, "digit")


def test_the_excerpt_shows_the_line_and_a_caret_under_the_column() -> None:
    error = refusal("entity user {}\nentity doc {\n    permission x = ownr or x\n}")
    assert error.excerpt == "    permission x = ownr or x\n                   ^"
    assert error.explanation == f"3:20: {error.problem}\n{error.excerpt}"


def test_tabs_and_wide_characters_keep_the_caret_in_its_place() -> None:
    assert refusal("entity d {\n\t\tpermission x\t= y }").excerpt.endswith(
        "\n\t\t            \t  ^"
    )
    assert refusal("/* 漢字 */ x").excerpt == "/* 漢字 */ x\n           ^"


def test_a_long_line_is_cut_around_the_error() -> None:
    error = refusal("entity d { permission x = " + " " * 5000 + "y" + " " * 5000 + "}")
    line, caret = error.excerpt.split("\n")
    assert len(line) == 122
    assert line[0] == line[-1] == "…"
    assert line[caret.index("^")] == "y"


def test_control_characters_do_not_reach_the_reader() -> None:
    assert "\x1b" not in refusal("entity d { \x1b[31m }").explanation


def test_an_error_stays_short_however_long_what_it_quotes() -> None:
    error = refusal("entity d { permission x = a" + ".a" * 50_000 + " }")
    assert len(error.explanation) < 1_500


def test_windows_line_ends_do_not_move_places() -> None:
    check("entity user {}\r\n\r\nentity d { relation a @b }", 3, 24, NO_REFERENCE, "`b`")
