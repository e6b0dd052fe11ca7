"""Bundles: storing them, and running one as a single data write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from grantlog.app.data import WriteData, first_of_each
from grantlog.app.known import KnownHeads, head_of
from grantlog.errors import InvalidInputError, NotFoundError
from grantlog.model.attributes import Attribute, parse_attribute
from grantlog.model.bundle import (
    Bundle,
    BundleOperation,
    bundle_text,
    check_bundle,
    parse_bundle,
)
from grantlog.model.ids import NAME, TenantId
from grantlog.model.template import parse_template
from grantlog.model.tuples import Entity, RelationTuple, parse_entity, parse_tuple
from grantlog.ports.bundles import BundleReader
from grantlog.ports.heads import Head
from grantlog.ports.writer import Committed, PutFacts, RemoveFacts, TransactionWriter

BUNDLES_PER_WRITE_MAX: Final = 100
FILLED_BYTES_MAX: Final = 4 * 1024 * 1024
"""What the templates of one run come to, arguments filled in."""

_BOOLEANS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "True"), "true"),
    **dict.fromkeys(("0", "f", "F", "FALSE", "False"), "false"),
}
"""How arguments say yes and no: the forms that clients of the contract use."""


class Bundles:
    """The bundle calls."""

    def __init__(
        self,
        *,
        writer: TransactionWriter,
        reader: BundleReader,
        write_data: WriteData,
        known: KnownHeads,
        new_id: Callable[[], bytes],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._write_data = write_data
        self._known = known
        self._new_id = new_id

    async def write(self, tenant: TenantId, bundles: Sequence[Bundle]) -> None:
        """Store bundles under their names, all or none; who has a name already is replaced.

        Raises:
            InvalidInputError: one is not a bundle, two have one name, or there are too many.
            LimitError: the tenant would have more bundles than it may.
        """
        if len(bundles) > BUNDLES_PER_WRITE_MAX:
            raise InvalidInputError(
                f"{len(bundles)} bundles in one request, at most {BUNDLES_PER_WRITE_MAX} may be"
            )
        for bundle in bundles:
            check_bundle(bundle)
        definitions = {bundle.name: bundle_text(bundle) for bundle in bundles}
        if len(definitions) < len(bundles):
            raise InvalidInputError(
                "two bundles of this request have one name", reason="ERROR_CODE_ALREADY_EXIST"
            )
        self._learn(
            tenant,
            await self._writer.write_bundles(tenant, definitions, write_id=self._new_id()),
        )

    async def read(self, tenant: TenantId, name: str) -> Bundle:
        """The bundle of a name.

        Raises:
            NotFoundError: the tenant has none of that name.
        """
        definition = None if "\0" in name else await self._reader.bundle(tenant, name)
        if definition is None:
            raise _not_found(name)
        return parse_bundle(definition)

    async def delete(self, tenant: TenantId, name: str) -> None:
        """Remove a bundle; errors as `read`."""
        if "\0" in name:
            raise _not_found(name)
        self._learn(tenant, await self._writer.delete_bundle(tenant, name, write_id=self._new_id()))

    async def run(self, tenant: TenantId, name: str, arguments: Mapping[str, str]) -> Head:
        """Fill a bundle's templates and write the facts, all or none; the head has them.

        Raises:
            NotFoundError: no such bundle; or as `WriteData.apply`.
            InvalidInputError: an argument is missing or brings structure of its own, a filled
                template is no fact; or as `WriteData.apply`.
        """
        bundle = await self.read(tenant, name)
        return await self._write_data.apply(tenant, bundle_steps(bundle, arguments))

    def _learn(self, tenant: TenantId, done: Committed) -> None:
        self._known.learn(tenant, head_of(done))


def bundle_steps(
    bundle: Bundle, arguments: Mapping[str, str]
) -> tuple[PutFacts | RemoveFacts, ...]:
    """What a run does: operation by operation, writes before deletes.

    Raises:
        InvalidInputError: as `Bundles.run`.
    """
    missing = [name for name in bundle.arguments if name not in arguments]
    if missing:
        raise InvalidInputError(
            f"bundle {bundle.name!r} needs the arguments {', '.join(missing)}",
            reason="ERROR_CODE_MISSING_ARGUMENT",
        )
    if any("\0" in value for value in arguments.values()):
        raise _invalid("an argument holds a NUL character")
    _require_small(bundle, arguments)
    return tuple(step for operation in bundle.operations for step in _steps(operation, arguments))


def _require_small(bundle: Bundle, arguments: Mapping[str, str]) -> None:
    """Refuse a run whose templates would come to more than one write may hold."""
    largest = max((len(value.encode()) for value in arguments.values()), default=0)
    size = sum(len(text.encode()) + text.count("{{") * largest for text in bundle.templates())
    if size > FILLED_BYTES_MAX:
        raise _invalid(
            f"the arguments of bundle {bundle.name!r} are too long: filled in, its templates may "
            f"come to {FILLED_BYTES_MAX} bytes"
        )


def _steps(
    operation: BundleOperation, arguments: Mapping[str, str]
) -> Iterator[PutFacts | RemoveFacts]:
    put = PutFacts(
        _tuples(operation.relationships_write, arguments),
        first_of_each(map(_attribute, _filled(operation.attributes_write, arguments))),
    )
    remove = RemoveFacts(
        _tuples(operation.relationships_delete, arguments),
        tuple(map(_attribute_name, _filled(operation.attributes_delete, arguments))),
    )
    for step in (put, remove):
        if step.tuples or step.attributes:
            yield step


def _filled(templates: Iterable[str], arguments: Mapping[str, str]) -> Iterator[str]:
    return (parse_template(text).fill(arguments) for text in templates)


def _tuples(templates: Iterable[str], arguments: Mapping[str, str]) -> tuple[RelationTuple, ...]:
    return tuple(dict.fromkeys(map(_tuple, _filled(templates, arguments))))


def _tuple(text: str) -> RelationTuple:
    try:
        return parse_tuple(text)
    except InvalidInputError as error:
        raise _invalid(error.explanation) from error


def _attribute(text: str) -> Attribute:
    head, bar, typed = text.partition("|")
    word, colon, data = typed.partition(":")
    if word in ("boolean", "boolean[]"):
        data = ",".join(_BOOLEANS.get(item, item) for item in data.split(","))
    try:
        return parse_attribute(f"{head}{bar}{word}{colon}{data}")
    except InvalidInputError as error:
        raise _invalid(error.explanation) from error


def _attribute_name(text: str) -> tuple[Entity, str]:
    """`doc:1$public`; a value behind it, which the contract's texts have, says nothing."""
    head, _, _ = text.partition("|")
    entity, dollar, name = head.partition("$")
    try:
        if not dollar or not NAME.fullmatch(name):
            raise _invalid(f"{text!r} names no attribute: expected type:id$name, as doc:1$public")
        return parse_entity(entity), name
    except InvalidInputError as error:
        raise _invalid(error.explanation) from error


def _invalid(problem: str) -> InvalidInputError:
    return InvalidInputError(problem, reason="ERROR_CODE_INVALID_ARGUMENT")


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"the tenant has no bundle {name!r}", reason="ERROR_CODE_BUNDLE_NOT_FOUND")
