"""How many bytes cached things take, as the interpreter tells.

Texts are counted wherever they stand, also where entries share one: a bound is kept, not met.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof

from grantlog.model.attributes import AttributeValue
from grantlog.model.tuples import Subject

_INT_BYTES = 32


def size_of_key(key: tuple[object, ...]) -> int:
    """Of a key: a tuple of texts and numbers; what tuples in it hold comes on top of it."""
    return getsizeof(key) + sum(map(getsizeof, key))


def size_of_subjects(subjects: Sequence[Subject]) -> int:
    """Of a tuple of subjects; their types and relations are shared."""
    size = getsizeof(subjects)
    for subject in subjects:
        size += getsizeof(subject) + getsizeof(subject.id)
    return size


def size_of_value(value: AttributeValue | None) -> int:
    """Of an attribute's value."""
    if value is None:
        return 0
    data = value.data
    size = getsizeof(value) + getsizeof(data)
    return size + sum(map(getsizeof, data)) if isinstance(data, tuple) else size


def size_of_dependencies(dependencies: Sequence[int]) -> int:
    """Of a tuple of dependencies."""
    return getsizeof(dependencies) + _INT_BYTES * len(dependencies)
