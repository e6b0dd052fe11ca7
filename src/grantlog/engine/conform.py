"""Does a fact fit a schema version? The write path refuses what does not, with these errors."""

from __future__ import annotations

from grantlog.errors import InvalidInputError, NotFoundError
from grantlog.model.attributes import Attribute
from grantlog.model.tuples import RelationTuple, Subject
from grantlog.schema.compiled import CompiledSchema, EntityDef, RelationType

ELLIPSIS = "..."
"""An older way to write "no relation" in a subject."""


def plain_subject(subject: Subject) -> Subject:
    """The subject with `...` taken as no relation."""
    return Subject(subject.type, subject.id) if subject.relation == ELLIPSIS else subject


def find_entity(schema: CompiledSchema, name: str) -> EntityDef:
    """The entity type of that name.

    Raises:
        NotFoundError: SCHEMA_NOT_FOUND; ENTITY_DEFINITION_NOT_FOUND where it is a rule's name.
    """
    entity = schema.entities.get(name)
    if entity is not None:
        return entity
    if name in schema.rules:
        raise NotFoundError(
            f"{name} is a rule, not an entity type", reason="ERROR_CODE_ENTITY_DEFINITION_NOT_FOUND"
        )
    raise NotFoundError(
        f"the schema has no entity type {name}", reason="ERROR_CODE_SCHEMA_NOT_FOUND"
    )


def check_tuple(schema: CompiledSchema, fact: RelationTuple) -> RelationTuple:
    """The tuple as it is to be stored: `...` normalised.

    Raises:
        NotFoundError: no such entity type or relation, or the relation does not admit the subject.
        InvalidInputError: the tuple relates a userset to itself.
    """
    subject = plain_subject(fact.subject)
    entity = find_entity(schema, fact.entity.type)
    if (*fact.entity, fact.relation) == subject:
        raise InvalidInputError(
            f"{subject} cannot be related to itself",
            reason="ERROR_CODE_ENTITY_AND_SUBJECT_CANNOT_BE_EQUAL",
        )
    relation = entity.relations.get(fact.relation)
    if relation is None:
        kind = "a permission" if fact.relation in entity.permissions else "not a relation"
        named = ", ".join(entity.relations) or "none"
        raise NotFoundError(
            f"{fact}: {fact.relation} is {kind} of {entity.name}; its relations are: {named}",
            reason="ERROR_CODE_RELATION_DEFINITION_NOT_FOUND",
        )
    if RelationType(subject.type, subject.relation) not in relation.types:
        admitted = ", ".join(map(str, relation.types))
        raise NotFoundError(
            f"{fact}: {entity.name}#{relation.name} admits {admitted}",
            reason="ERROR_CODE_SUBJECT_TYPE_NOT_FOUND",
        )
    return fact if subject is fact.subject else fact._replace(subject=subject)


def check_attribute(schema: CompiledSchema, fact: Attribute) -> None:
    """Accept an attribute that the schema declares with that type.

    Raises:
        NotFoundError: no such entity type or attribute, or it has another type.
    """
    entity = find_entity(schema, fact.entity.type)
    declared = entity.attributes.get(fact.name)
    if declared is None:
        raise NotFoundError(
            f"{fact.entity}${fact.name}: {fact.name} is not an attribute of {entity.name}",
            reason="ERROR_CODE_ATTRIBUTE_DEFINITION_NOT_FOUND",
        )
    if declared is not fact.value.type:
        raise NotFoundError(
            f"{entity.name}${fact.name} is {declared.word}, not {fact.value.type.word}",
            reason="ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH",
        )
