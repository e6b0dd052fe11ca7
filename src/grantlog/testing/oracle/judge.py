"""The verdict on a question, by looking at everything in reach.

1. The world's nodes are all that a chain of steps leads to from the question. A node's budget is
   the depth less the length of the shortest chain; below 0 it is "not enough depth".
2. Outcomes follow from outcomes, in the logic where an error is an unknown, until nothing changes.
3. What is open then depends on itself. Among open nodes, a group that waits for nothing outside
   itself is decided: without an answer if some member waits for a member through the right side of
   a `not`; else denied, but for members that an error reaches, round by round. Then again from 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from grantlog.model.attributes import Attribute
from grantlog.model.tuples import RelationTuple, Subject
from grantlog.testing.oracle.language import RULES, ZEROS, Formula, Language, RuleError

Verdict: TypeAlias = str
"""`allowed`, `denied`, `depth`, `rule NAME` (it failed), or `missing` (no such name)."""

Key: TypeAlias = tuple[str, str, str]
"""Entity type, id, and a name, an arrow `a.b`, or a rule's name with `()`."""

_DEPTH: Final = "depth"


class Part(NamedTuple):
    """Whatever another node is."""

    key: Key


class AnyOf(NamedTuple):
    """Allowed directly, or by any of other nodes, which are in the order of subjects."""

    direct: bool
    keys: list[Key]


class Operation(NamedTuple):
    """An operator of the language over two trees."""

    operator: str
    left: Tree
    right: Tree


Tree: TypeAlias = Part | AnyOf | Operation | Verdict


@dataclass(frozen=True, slots=True)
class Question:
    """A world and what is asked of it; contextual facts are given apart."""

    entity: tuple[str, str]
    name: str
    subject: Subject
    depth: int
    tuples: Sequence[RelationTuple] = ()
    attributes: Sequence[Attribute] = ()
    context_tuples: Sequence[RelationTuple] = ()
    context_attributes: Sequence[Attribute] = ()
    data: Mapping[str, object] = field(default_factory=dict[str, object])


def judge(language: Language, question: Question) -> Verdict:
    """The one right answer."""
    words = language.types.get(question.entity[0])
    known = words and (
        question.name in words.relations
        or question.name in words.permissions
        or words.attributes.get(question.name) == "boolean"
    )
    if not known:
        return "missing"
    return _Court(World(language, question)).verdict()


class World:
    """A question's world: the facts that count, and what each node depends on."""

    def __init__(self, language: Language, question: Question) -> None:
        self.language = language
        self.question = question
        self.root: Key = (*question.entity, question.name)
        self._related: dict[Key, set[Subject]] = {}
        for fact in (*question.tuples, *question.context_tuples):
            words = language.types.get(fact.entity.type)
            kinds = words.relations.get(fact.relation, []) if words else []
            if (fact.subject.type, fact.subject.relation) in kinds:
                place = (fact.entity.type, fact.entity.id, fact.relation)
                self._related.setdefault(place, set()).add(fact.subject)
        self._values: dict[Key, object] = {}
        for attribute in (*question.context_attributes, *question.attributes):
            words = language.types.get(attribute.entity.type)
            if words and words.attributes.get(attribute.name) == attribute.value.type.word:
                place = (attribute.entity.type, attribute.entity.id, attribute.name)
                self._values.setdefault(place, attribute.value.data)

    def tree(self, key: Key) -> Tree:
        """What a node is, in terms of other nodes."""
        type_, id_, name = key
        subject = self.question.subject
        if (type_, id_, name.removesuffix("()")) == (subject.type, subject.id, subject.relation):
            return "allowed"
        words = self.language.types[type_]
        if "." in name:
            relation, _, computed = name.partition(".")
            found = {(s.type, s.id, computed) for s in self._subjects(type_, id_, relation)}
            return AnyOf(direct=False, keys=sorted(k for k in found if self._offers(*k)))
        if name in words.relations:
            subjects = self._subjects(*key)
            usersets = sorted((s.type, s.id, s.relation) for s in subjects if s.relation)
            return AnyOf(direct=subject in subjects, keys=usersets)
        if name in words.permissions:
            return self._tree_of(words.permissions[name], type_, id_)
        if name in words.attributes:
            return "allowed" if self._values.get(key) is True else "denied"
        return self._rule(type_, id_, name.removesuffix("()"))

    def _subjects(self, type_: str, id_: str, relation: str) -> set[Subject]:
        return self._related.get((type_, id_, relation), set())

    def _offers(self, type_: str, _: str, name: str) -> bool:
        words = self.language.types[type_]
        return name in words.relations or name in words.permissions

    def _tree_of(self, formula: Formula, type_: str, id_: str) -> Tree:
        kind, left, right = formula
        if isinstance(left, tuple) and isinstance(right, tuple):
            return Operation(
                kind, self._tree_of(left, type_, id_), self._tree_of(right, type_, id_)
            )
        name = {"name": str(left), "rule": f"{left}()", "arrow": f"{left}.{right}"}[kind]
        return Part((type_, id_, name))

    def _rule(self, type_: str, id_: str, rule: str) -> Verdict:
        arguments = {
            name: self._values.get((type_, id_, name), ZEROS[word])
            for name, word in self.language.rules[rule].items()
        }
        try:
            holds = RULES[rule][2](arguments, self.question.data)
        except RuleError:
            return f"rule {rule}"
        return "allowed" if holds else "denied"


class _Court:
    """Decides a world's nodes."""

    def __init__(self, world: World) -> None:
        self._root = world.root
        budgets, trees = _reach(world)
        self._trees = {key: trees[key] if budgets[key] >= 0 else _DEPTH for key in budgets}
        self._decided: dict[Key, Verdict] = {}

    def verdict(self) -> Verdict:
        self._spread()
        while self._root not in self._decided:
            self._decide_group()
            self._spread()
        return self._decided[self._root]

    def _spread(self) -> None:
        changed = True
        while changed:
            changed = False
            for key, tree in self._trees.items():
                if key not in self._decided:
                    verdict = value_of(tree, self._decided)
                    if verdict:
                        self._decided[key] = verdict
                        changed = True

    def _decide_group(self) -> None:
        """Decide one group of open nodes that waits for nothing outside itself."""
        waits = {
            key: _open_parts(tree, self._decided)
            for key, tree in self._trees.items()
            if key not in self._decided
        }
        closure = {key: {other for other, _ in parts} for key, parts in waits.items()}
        changed = True
        while changed:
            changed = False
            for key, reached in closure.items():
                wider = reached.union(*(closure[other] for other in reached))
                if wider != reached:
                    closure[key] = wider
                    changed = True
        group = next(
            {key, *reached}
            for key, reached in closure.items()
            if all(key in closure[other] for other in reached)
        )
        if any(negative and other in group for key in group for other, negative in waits[key]):
            self._decided.update(dict.fromkeys(group, _DEPTH))
            return
        failed = True
        while failed:
            denied = self._decided | {k: "denied" for k in group if k not in self._decided}
            values = {k: value_of(self._trees[k], denied) for k in group if k not in self._decided}
            failed = {k: v for k, v in values.items() if v and v != "denied"}
            self._decided.update(failed)
        for key in group:
            self._decided.setdefault(key, "denied")


def _reach(world: World) -> tuple[dict[Key, int], dict[Key, Tree]]:
    """All nodes that chains lead to, with the largest budget of any chain."""
    budgets: dict[Key, int] = {world.root: world.question.depth}
    trees: dict[Key, Tree] = {}
    agenda = [world.root]
    while agenda:
        key = agenda.pop(0)
        if budgets[key] < 0:
            continue
        trees[key] = world.tree(key)
        for part in parts_of(trees[key]):
            cost = 1 if "." not in part[2] else 0
            if budgets[key] - cost > budgets.get(part, -2):
                budgets[part] = budgets[key] - cost
                agenda.append(part)
    return budgets, trees


def parts_of(tree: Tree) -> list[Key]:
    """The nodes that a step leads to, whether they matter or not."""
    match tree:
        case Part(key):
            return [key]
        case AnyOf(_, keys):
            return keys
        case Operation(_, left, right):
            return parts_of(left) + parts_of(right)
        case _:
            return []


def value_of(tree: Tree, decided: Mapping[Key, Verdict]) -> Verdict | None:
    """A tree's verdict; None while it is open."""
    match tree:
        case Part(key):
            return decided.get(key)
        case AnyOf(direct, keys):
            verdicts = [decided.get(key) for key in keys]
            if direct or "allowed" in verdicts:
                return "allowed"
            if None in verdicts:
                return None
            return next((v for v in verdicts if v != "denied"), "denied")
        case Operation(operator, left, right):
            return _combined(operator, value_of(left, decided), value_of(right, decided))
        case verdict:
            return verdict


def _combined(operator: str, left: Verdict | None, right: Verdict | None) -> Verdict | None:
    """Each operator by its own words."""
    sides = {left, right}
    if operator == "or":
        if "allowed" in sides:
            return "allowed"
        default = "denied"
    elif operator == "and":
        if "denied" in sides:
            return "denied"
        default = "allowed"
    else:
        if left == "denied" or right == "allowed":
            return "denied"
        default = "allowed"
    if None in sides:
        return None
    errors = [side for side in (left, right) if side not in {"allowed", "denied"}]
    return errors[0] if errors else default


def _open_parts(tree: Tree, decided: Mapping[Key, Verdict]) -> list[tuple[Key, bool]]:
    """The nodes that an open tree waits for, and whether through the right side of a `not`."""
    if value_of(tree, decided):
        return []
    if isinstance(tree, Operation):
        negative = tree.operator == "not"
        right = _open_parts(tree.right, decided)
        return _open_parts(tree.left, decided) + [(k, n or negative) for k, n in right]
    return [(key, False) for key in parts_of(tree) if key not in decided]
