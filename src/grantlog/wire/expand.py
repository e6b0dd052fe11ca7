"""The tree that Expand answers, as a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grantlog.api.v1 import base_pb2
from grantlog.engine.tree import Branch, SubjectsLeaf, Tree, ValueLeaf, ValuesLeaf
from grantlog.schema.compiled import Operator
from grantlog.wire.convert import entity_message, subject_message
from grantlog.wire.values import attribute_value_to_any

_OPERATIONS: Final = {
    Operator.UNION: base_pb2.ExpandTreeNode.OPERATION_UNION,
    Operator.INTERSECTION: base_pb2.ExpandTreeNode.OPERATION_INTERSECTION,
    Operator.EXCLUSION: base_pb2.ExpandTreeNode.OPERATION_EXCLUSION,
}


def tree_message(tree: Tree) -> base_pb2.Expand:
    """The message of a tree, however deep it is."""
    root = base_pb2.Expand()
    pending: list[tuple[Tree, Callable[[], base_pb2.Expand]]] = [(tree, lambda: root)]
    while pending:
        node, place = pending.pop()
        message = place()
        message.entity.CopyFrom(entity_message(node.entity))
        message.permission = node.permission
        for name in node.arguments:
            message.arguments.add().computed_attribute.name = name
        content = node.content
        if isinstance(content, Branch):
            branch = message.expand
            branch.operation = _OPERATIONS[content.operator]
            branch.SetInParent()
            # The last in is the first out, and each adds itself behind the others.
            pending += [(child, branch.children.add) for child in reversed(content.children)]
        else:
            message.leaf.CopyFrom(_leaf(content))
    return root


def _leaf(content: SubjectsLeaf | ValueLeaf | ValuesLeaf) -> base_pb2.ExpandLeaf:
    leaf = base_pb2.ExpandLeaf()
    match content:
        case SubjectsLeaf():
            leaf.subjects.SetInParent()
            leaf.subjects.subjects.extend(subject_message(s) for s in content.subjects)
        case ValueLeaf():
            leaf.value.CopyFrom(attribute_value_to_any(content.value))
        case ValuesLeaf():
            leaf.values.SetInParent()
            for name, value in content.values.items():
                leaf.values.values[name].CopyFrom(attribute_value_to_any(value))
    return leaf
