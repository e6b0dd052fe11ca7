"""What a request brings along, as a short digest: equal digests mean equal requests.

Every part says its kind and its length before its bytes, so that no two contexts read alike however
their texts are cut. Facts stand in an order of their own, as the same facts sent in another order
ask the same; of two attributes for one name the first counts, so those stay in theirs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, cast

from grantlog.engine.conform import plain_subject
from grantlog.engine.question import NO_CONTEXT, RequestContext
from grantlog.engine.rules import DATA_NESTING_MAX
from grantlog.model.attributes import Attribute
from grantlog.model.tuples import RelationTuple

DIGEST_BYTES: Final = 16
"""128 bits: nobody finds two contexts with the same one."""

NO_DIGEST: Final = b""
"""Of a request that brings nothing."""

Feed = Callable[[bytes], None]


def context_digest(context: RequestContext) -> bytes | None:
    """The digest of a request's context, None of one that cannot be told from others.

    That is one whose data nest deeper than a rule may read, or hold what no JSON holds.
    """
    if context is NO_CONTEXT or context == NO_CONTEXT:
        return NO_DIGEST
    state = blake2b(digest_size=DIGEST_BYTES)
    _feed_tuples(context.tuples, state.update)
    _feed_attributes(context.attributes, state.update)
    if not _feed_data(context.data, state.update, DATA_NESTING_MAX):
        return None
    return state.digest()


def _feed_tuples(tuples: Sequence[RelationTuple], feed: Feed) -> None:
    distinct = {
        (*entity, relation, *plain_subject(subject)) for entity, relation, subject in tuples
    }
    _feed_length(b"T", len(distinct), feed)
    for fields in sorted(distinct):
        for field in fields:
            _feed_text(field, feed)


def _feed_attributes(attributes: Sequence[Attribute], feed: Feed) -> None:
    _feed_length(b"A", len(attributes), feed)
    for (type_, id_), name, value in sorted(attributes, key=lambda fact: (fact.entity, fact.name)):
        for field in (type_, id_, name):
            _feed_text(field, feed)
        _feed_length(b"v", value.type, feed)
        _feed_data(value.data, feed, 1)


def _feed_data(data: object, feed: Feed, nesting: int) -> bool:
    """Feed a value as from JSON; False if it is none, or nests deeper than `nesting`."""
    if data is None or data is True or data is False:
        feed(b"N" if data is None else b"1" if data else b"0")
    elif isinstance(data, str):
        _feed_text(data, feed)
    elif isinstance(data, int):
        text = str(data).encode()
        _feed_length(b"i", len(text), feed)
        feed(text)
    elif isinstance(data, float):
        feed(b"d" + struct.pack(">d", data))
    elif isinstance(data, Mapping):
        return _feed_mapping(cast("Mapping[object, object]", data), feed, nesting - 1)
    elif isinstance(data, list | tuple):
        return _feed_items(cast("Sequence[object]", data), feed, nesting - 1)
    else:
        return False
    return True


def _feed_mapping(data: Mapping[object, object], feed: Feed, nesting: int) -> bool:
    names = [name for name in data if isinstance(name, str)]
    if nesting < 0 or len(names) != len(data):
        return False
    _feed_length(b"M", len(names), feed)
    for name in sorted(names):
        _feed_text(name, feed)
        if not _feed_data(data[name], feed, nesting):
            return False
    return True


def _feed_items(items: Sequence[object], feed: Feed, nesting: int) -> bool:
    if nesting < 0:
        return False
    _feed_length(b"L", len(items), feed)
    return all(_feed_data(item, feed, nesting) for item in items)


def _feed_text(text: str, feed: Feed) -> None:
    encoded = text.encode(errors="surrogatepass")
    _feed_length(b"s", len(encoded), feed)
    feed(encoded)


def _feed_length(kind: bytes, length: int, feed: Feed) -> None:
    feed(kind + length.to_bytes(8, "big"))
