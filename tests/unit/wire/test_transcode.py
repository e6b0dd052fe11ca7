"""REST addresses find their RPC, and requests become messages."""

import pytest

from grantlog.api.v1 import service_pb2
from grantlog.wire.http_errors import PathError, UnroutedError
from grantlog.wire.json_decode import BodyError
from grantlog.wire.transcode import ROUTES, Route, bind, find_route


def route_of(operation_id: str) -> Route:
    return next(route for route in ROUTES if route.operation_id == operation_id)


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r.operation_id)
def test_every_route_is_found_at_its_path(route: Route) -> None:
    path = route.path_template.replace("{tenant_id}", "t1").replace("{id}", "t1")
    found, variables = find_route(route.verb, path)
    assert found is route
    assert set(variables.values()) <= {"t1"}


def test_a_variable_takes_one_segment_and_is_decoded() -> None:
    _, variables = find_route("POST", "/v1/tenants/a%2Fb%20c/schemas/list")
    assert variables == {"tenant_id": "a/b c"}
    with pytest.raises(UnroutedError) as caught:
        find_route("POST", "/v1/tenants/a/b/schemas/list")
    assert caught.value.allowed == ()


def test_tenants_may_be_called_like_paths() -> None:
    assert find_route("DELETE", "/v1/tenants/create")[1] == {"id": "create"}
    route, variables = find_route("POST", "/v1/tenants/create/permissions/check")
    assert (route.operation_id, variables) == ("permissions.check", {"tenant_id": "create"})


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/tenants", "/v1/tenants/t1/schemas/list/", "x"])
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(UnroutedError) as caught:
        find_route("POST", path)
    assert caught.value.allowed == ()


@pytest.mark.parametrize("verb", ["GET", "PUT", "OPTIONS"])
def test_the_wrong_verb_on_a_known_path_says_so(verb: str) -> None:
    with pytest.raises(UnroutedError) as caught:
        find_route(verb, "/v1/tenants/t1/permissions/check")
    assert caught.value.allowed == ("POST",)


@pytest.mark.parametrize("segment", ["%", "%zz", "a%2", "%ff", "%ed%a0%80", "%c3"])
def test_a_path_that_is_not_percent_encoded_utf_8_is_refused(segment: str) -> None:
    for verb, path in (
        ("DELETE", f"/v1/tenants/{segment}"),
        ("POST", f"/v1/tenants/{segment}/data/write"),
    ):
        with pytest.raises(PathError, match="not percent-encoded UTF-8"):
            find_route(verb, path)
    assert find_route("DELETE", "/v1/tenants/%C3%a9%25")[1] == {"id": "é%"}


def test_path_variables_override_the_body() -> None:
    route = route_of("permissions.check")
    body = b'{"tenant_id":"other","permission":"view","metadata":{"depth":"7"}}'
    message = bind(route, {"tenant_id": "t1"}, [("permission", "edit")], body)
    assert message == service_pb2.PermissionCheckRequest(
        tenant_id="t1", permission="view", metadata={"depth": 7}
    )


def test_an_empty_body_is_an_empty_message() -> None:
    assert bind(route_of("tenants.list"), {}) == service_pb2.TenantListRequest()
    with pytest.raises(BodyError):
        bind(route_of("tenants.list"), {}, (), b"[]")


def test_query_parameters_fill_only_calls_without_a_body() -> None:
    route = route_of("tenants.delete")
    assert bind(route, {}, [("id", "a"), ("id", "b"), ("nope", "1"), ("id.x", "2")]) == (
        service_pb2.TenantDeleteRequest(id="b")
    )
    assert bind(route, {"id": "t1"}, [("id", "a")], b"ignored") == (
        service_pb2.TenantDeleteRequest(id="t1")
    )


def test_query_parameters_may_be_dotted_repeated_and_typed() -> None:
    route = Route(
        service="Permission",
        method="X",
        full_method="/base.v1.Permission/X",
        verb="GET",
        path_template="/x",
        request_class=service_pb2.PermissionSubjectPermissionRequest,
        response_class=service_pb2.PermissionSubjectPermissionResponse,
        server_streaming=False,
        body=False,
        operation_id="x",
        tag="Permission",
    )
    query = [
        ("metadata.only_permission", "true"),
        ("metadata.depth", "5"),
        ("entity.type", "doc"),
        ("context.tuples", "no"),
        ("entity", "no"),
    ]
    assert bind(route, {}, query) == service_pb2.PermissionSubjectPermissionRequest(
        metadata={"only_permission": True, "depth": 5}, entity={"type": "doc"}
    )
    with pytest.raises(BodyError, match=r"metadata.depth: expected an integer"):
        bind(route, {}, [("metadata.depth", "deep")])
    with pytest.raises(BodyError, match=r"metadata.only_permission: expected a boolean"):
        bind(route, {}, [("metadata.only_permission", "maybe")])
