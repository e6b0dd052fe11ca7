"""REST from the annotations of the protos: routes, and requests bound to messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from grantlog.api.v1 import openapi_pb2, service_pb2
from grantlog.wire.google import annotations_pb2, http_pb2
from grantlog.wire.http_errors import PathError, UnroutedError
from grantlog.wire.protojson import decode, decode_object


@dataclass(frozen=True, slots=True)
class Route:
    """One RPC and its REST address."""

    service: str
    """The bare name: `Permission`."""
    method: str
    full_method: str
    """`/base.v1.Permission/Check`."""
    verb: str
    path_template: str
    """`/v1/tenants/{tenant_id}/permissions/check`; a variable matches one segment."""
    request_class: type[Message]
    response_class: type[Message]
    server_streaming: bool
    body: bool
    """Whether the body is the request; if not, query parameters may fill its fields."""
    operation_id: str
    tag: str


def _routes() -> Iterator[Route]:
    for service in service_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            yield _route(method)


def _route(method: MethodDescriptor) -> Route:
    options = method.GetOptions()
    rule = cast("http_pb2.HttpRule", options.Extensions[cast("Any", annotations_pb2.http)])
    verb = rule.WhichOneof("pattern")
    assert verb in ("get", "put", "post", "delete", "patch"), method.full_name
    assert rule.body in ("", "*"), method.full_name
    service = method.containing_service
    return Route(
        service=service.name,
        method=method.name,
        full_method=f"/{service.full_name}/{method.name}",
        verb=verb.upper(),
        path_template=getattr(rule, verb),
        request_class=GetMessageClass(method.input_type),
        response_class=GetMessageClass(method.output_type),
        server_streaming=method.server_streaming,
        body=rule.body == "*",
        operation_id=options.Extensions[openapi_pb2.operation_id],
        tag=service.name,
    )


ROUTES: Final = tuple(_routes())


def path_variables(template: str) -> list[str]:
    """The names of a template's variables, in order."""
    return [s[1:-1] for s in template.split("/") if s.startswith("{")]


class _Node:
    """A place in the tree of one verb's paths."""

    __slots__ = ("literals", "names", "route", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.route: Route | None = None
        self.names: list[str] = []

    def find(self, segments: list[str], at: int, values: list[str]) -> _Node | None:
        """Where the rest of a path leads; collects the segments that variables take."""
        if at == len(segments):
            return self if self.route is not None else None
        literal = self.literals.get(segments[at])
        found = literal.find(segments, at + 1, values) if literal is not None else None
        if found is None and self.variable is not None:
            values.append(segments[at])
            found = self.variable.find(segments, at + 1, values)
            if found is None:
                values.pop()
        return found


def _tree(routes: Iterable[Route]) -> dict[str, _Node]:
    roots: dict[str, _Node] = {}
    for route in routes:
        node = roots.setdefault(route.verb, _Node())
        for segment in route.path_template.split("/"):
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        node.route, node.names = route, path_variables(route.path_template)
    return roots


_ROOTS: Final = _tree(ROUTES)
_BROKEN_ESCAPE: Final = re.compile("%(?![0-9a-fA-F]{2})")


def find_route(verb: str, raw_path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request and its path variables, decoded.

    Args:
        verb: upper case.
        raw_path: still percent-encoded, without the query: an encoded slash ends no segment.

    Raises:
        UnroutedError: no route has the path, or none with this verb.
        PathError: a variable is not percent-encoded UTF-8.
    """
    segments = raw_path.split("/")
    values: list[str] = []
    root = _ROOTS.get(verb)
    node = root.find(segments, 0, values) if root is not None else None
    if node is None or node.route is None:
        raise UnroutedError(v for v, root in _ROOTS.items() if root.find(segments, 0, []))
    return node.route, dict(zip(node.names, map(_decoded, values), strict=True))


def _decoded(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        if _BROKEN_ESCAPE.search(segment) is None:
            return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        pass
    raise PathError(f"the path segment {segment[:200]!r} is not percent-encoded UTF-8")


def bind(
    route: Route,
    path_params: Mapping[str, str],
    query: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Message:
    """The request message of a REST call.

    Args:
        route: the RPC that is called.
        path_params: path variables, percent-decoded; they override what the body says.
        query: query parameters in order; they count only for a call without a body.
        body: JSON text; empty stands for `{}`.

    Raises:
        BodyError: the body or a query parameter does not fit the message.
    """
    if route.body:
        message = decode(route.request_class, body)
    else:
        kind = cast("Descriptor", route.request_class.DESCRIPTOR)
        message = decode_object(route.request_class, _query_object(kind, query))
    for name, text in path_params.items():
        setattr(message, name, text)
    return message


def _query_object(descriptor: Descriptor, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters as the JSON value that says the same; unknown names are ignored."""
    value: dict[str, Any] = {}
    for key, text in query:
        steps = _steps(descriptor, key.split("."))
        if steps:
            _put(value, steps, text)
    return value


def _steps(descriptor: Descriptor | None, names: list[str]) -> list[FieldDescriptor]:
    """The fields along a dotted name; empty unless it leads to a scalar."""
    steps: list[FieldDescriptor] = []
    for name in names:
        if descriptor is None:
            return []
        by_json_name = {field.json_name: field for field in descriptor.fields}
        field = descriptor.fields_by_name.get(name) or by_json_name.get(name)
        if field is None:
            return []
        steps.append(field)
        descriptor = None if field.is_repeated else field.message_type
    return steps if steps and steps[-1].message_type is None else []


def _put(value: dict[str, Any], steps: list[FieldDescriptor], text: str) -> None:
    for step in steps[:-1]:
        value = value.setdefault(step.name, {})
    last = steps[-1]
    is_bool = last.type == FieldDescriptor.TYPE_BOOL
    item: Any = {"true": True, "false": False}.get(text, text) if is_bool else text
    if last.is_repeated:
        value.setdefault(last.name, []).append(item)
    else:
        value[last.name] = item
