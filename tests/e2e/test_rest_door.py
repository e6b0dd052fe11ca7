"""What a REST caller sees beyond the happy path: bodies, statuses, paths, the documentation."""

from __future__ import annotations

import contextlib
import secrets
import socket
from datetime import UTC, datetime

import httpx
import pytest

from tests.servers import Server

SCHEMA = "entity user {} entity doc { relation viewer @user  permission view = viewer }"
CHECK = {
    "metadata": {"depth": 20},
    "entity": {"type": "doc", "id": "1"},
    "permission": "view",
    "subject": {"type": "user", "id": "ann"},
}


TOO_SHALLOW = (
    "invalid PermissionCheckRequest.Metadata: embedded message failed validation | caused by: "
    "invalid PermissionCheckRequestMetadata.Depth: value must be greater than or equal to 3"
)


@pytest.fixture
def api(server: Server):
    with httpx.Client(base_url=server.rest, timeout=30) as client:
        yield client


@pytest.fixture
def tenant(api: httpx.Client) -> str:
    name = f"rest-{secrets.token_hex(6)}"
    answer = api.post(f"/v1/tenants/{name}/schemas/write", json={"schema": SCHEMA})
    assert answer.status_code == 200, answer.text
    return name


def check(api, tenant, **changes):
    return api.post(f"/v1/tenants/{tenant}/permissions/check", json=CHECK | changes)


def viewer(user):
    return {
        "entity": CHECK["entity"],
        "relation": "viewer",
        "subject": {"type": "user", "id": user},
    }


def write(api, tenant, *tuples):
    return api.post(f"/v1/tenants/{tenant}/data/write", json={"metadata": {}, "tuples": tuples})


def test_an_answer_has_every_field_by_its_proto_name(api, tenant):
    assert check(api, tenant).json() == {
        "can": "CHECK_RESULT_DENIED",
        "metadata": {"check_count": 2},
    }
    assert write(api, tenant, viewer("ann")).json().keys() == {"snap_token"}
    read = {"metadata": {}, "filter": {}}
    answer = api.post(f"/v1/tenants/{tenant}/data/relationships/read", json=read).json()
    assert answer == {
        "tuples": [
            {
                "entity": {"type": "doc", "id": "1"},
                "relation": "viewer",
                "subject": {"type": "user", "id": "ann", "relation": ""},
            }
        ],
        "continuous_token": "",
    }


def test_a_write_is_seen_by_the_next_check_with_and_without_its_token(api, tenant):
    token = write(api, tenant, viewer("ann")).json()["snap_token"]
    for metadata in ({"depth": 20}, {"depth": 20, "snap_token": token}):
        assert check(api, tenant, metadata=metadata).json()["can"] == "CHECK_RESULT_ALLOWED"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"permission": "edit"}, 404, "ERROR_CODE_SCHEMA_NOT_FOUND"),
        ({"entity": {"type": "film", "id": "1"}}, 404, "ERROR_CODE_SCHEMA_NOT_FOUND"),
        ({"metadata": {"depth": 2}}, 400, TOO_SHALLOW),
        ({"entity": None}, 400, "invalid PermissionCheckRequest.Entity: value is required"),
        ({"metadata": {"depth": 20, "snap_token": "zzz"}}, 400, "INVALID_SNAP_TOKEN"),
        ({"metadata": {"depth": 20, "schema_version": "nope"}}, 404, "ERROR_CODE_SCHEMA_NOT_FOUND"),
        ({"entity": []}, 400, ""),
        ({"metadata": {"depth": 5000}}, 400, ""),
    ],
)
def test_a_callers_mistake_is_told_in_the_contracts_words(api, tenant, change, code, message):
    answer = check(api, tenant, **change)
    assert answer.status_code == code
    body = answer.json()
    assert body.keys() == {"code", "message", "details"}
    assert body["message"].startswith(message)
    assert body["code"] == {404: 5, 400: 3}[code]


def test_a_nul_anywhere_is_the_callers_mistake(api, tenant):
    for path, body, status in (
        ("tenants/create", {"id": "a", "name": "x\0"}, 400),
        ("tenants/create", {"id": "a\0", "name": "x"}, 400),
        (f"tenants/{tenant}/schemas/write", {"schema": "entity user {}\0"}, 400),
        (f"tenants/{tenant}/schemas/read", {"metadata": {"schema_version": "\0"}}, 404),
        (
            f"tenants/{tenant}/data/relationships/read",
            {"metadata": {}, "filter": {"entity": {"type": "\0"}}},
            400,
        ),
    ):
        assert api.post(f"/v1/{path}", json=body).status_code == status, path
    assert api.delete("/v1/tenants/a%00").status_code == 404


def test_a_body_that_is_not_json_is_refused(api, tenant):
    answer = api.post(f"/v1/tenants/{tenant}/permissions/check", content=b"{not json")
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


def test_a_body_over_the_limit_is_refused(api, tenant):
    body = b'{"schema":"' + b" " * (4 * 1024 * 1024) + b'"}'
    answer = api.post(f"/v1/tenants/{tenant}/schemas/write", content=body)
    assert (answer.status_code, answer.json()["code"]) == (413, 8)


def words_of(answer):
    """The code, the message and the reason of a refusal."""
    told = answer.json()
    return told["code"], told["message"], told["details"][0]["reason"]


def test_an_unknown_path_and_a_wrong_verb_are_told_apart(api, tenant):
    unknown = api.post("/v1/nothing", json={})
    assert (unknown.status_code, words_of(unknown)) == (404, (5, "Not Found", "NOT_ROUTED"))
    wrong = api.get(f"/v1/tenants/{tenant}/permissions/check")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    words = (12, "Method Not Allowed", "NOT_ROUTED")
    assert (wrong.status_code, words_of(wrong)) == (405, words)
    assert "this path takes POST" in wrong.text


def test_a_filter_of_events_that_is_none_is_named(api, tenant):
    answer = api.get(f"/v1/tenants/{tenant}/watch/events?entity_type=doc")
    assert answer.status_code == 400
    assert "grantlog-watch-entity_type is not a filter" in answer.text


def test_a_header_of_ours_that_means_nothing_is_refused(api, tenant):
    refused = api.post(
        f"/v1/tenants/{tenant}/data/relationships/read",
        json={"metadata": {}, "filter": {}},
        headers={"grantlog-asof": "1"},
    )
    told = "UNKNOWN_METADATA: grantlog-asof means nothing: did you mean grantlog-as-of?"
    assert (refused.status_code, refused.json()["message"]) == (400, told)


@pytest.mark.parametrize("name", ["a b", "a/b", "é", "a,b", "a" + chr(0)])
def test_a_tenant_that_no_call_would_take_cannot_be_created(api, name):
    refused = api.post("/v1/tenants/create", json={"id": name, "name": "x"})
    assert refused.status_code == 400
    assert refused.json()["details"][0]["reason"] == "ERROR_CODE_VALIDATION"


def test_an_encoded_slash_does_not_end_the_tenants_segment(api):
    answer = check(api, "a%2Fb")
    assert answer.status_code == 400
    assert "PermissionCheckRequest.TenantId" in answer.json()["message"]


def test_a_schema_that_does_not_check_is_refused_with_its_place(api, tenant):
    text = "entity user {}\nentity doc {\n  permission view = viewer\n}"
    answer = api.post(f"/v1/tenants/{tenant}/schemas/write", json={"schema": text})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("3:21: ")
    assert "permission view = viewer\n" in answer.json()["message"]


def test_nothing_of_a_refused_write_is_stored(api, tenant):
    refused = write(api, tenant, viewer("ann"), viewer("bob") | {"relation": "owner"})
    assert refused.status_code == 404
    assert refused.json()["message"] == "ERROR_CODE_RELATION_DEFINITION_NOT_FOUND"
    assert check(api, tenant).json()["can"] == "CHECK_RESULT_DENIED"


def test_a_deletion_without_a_filter_is_refused(api, tenant):
    body = {"tuple_filter": {}, "attribute_filter": {}}
    answer = api.post(f"/v1/tenants/{tenant}/data/delete", json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "ERROR_CODE_VALIDATION")


def test_pages_of_a_listing_join_to_the_whole(api, tenant):
    users = [f"u{n:03}" for n in range(25)]
    write(api, tenant, *(viewer(user) for user in users))
    seen, token = [], ""
    while True:
        body = {"metadata": {}, "filter": {}, "page_size": 7, "continuous_token": token}
        page = api.post(f"/v1/tenants/{tenant}/data/relationships/read", json=body).json()
        seen += [item["subject"]["id"] for item in page["tuples"]]
        token = page["continuous_token"]
        if not token:
            break
        write(api, tenant, viewer(f"late-{len(seen)}"))  # pages stand at the first one's revision
    assert seen == users
    other = {"metadata": {}, "filter": {"relation": "viewer"}, "continuous_token": "x" * 40}
    refused = api.post(f"/v1/tenants/{tenant}/data/relationships/read", json=other)
    assert refused.status_code == 400


def test_a_deleted_tenant_is_empty_and_can_begin_anew(api, tenant):
    old = write(api, tenant, viewer("ann")).json()["snap_token"]
    assert api.delete(f"/v1/tenants/{tenant}").json() == {"tenant_id": tenant}
    assert check(api, tenant).json()["message"] == "ERROR_CODE_SCHEMA_NOT_FOUND"
    assert api.delete("/v1/tenants/never-seen").status_code == 404
    api.post(f"/v1/tenants/{tenant}/schemas/write", json={"schema": SCHEMA})
    assert check(api, tenant).json()["can"] == "CHECK_RESULT_DENIED"
    metadata = {"depth": 20, "snap_token": old}
    assert check(api, tenant, metadata=metadata).json()["can"] == "CHECK_RESULT_DENIED"


def test_a_check_and_a_listing_can_be_asked_as_of_the_past(api, tenant):
    write(api, tenant, viewer("ann"))  # revision 2, behind the schema
    filters = {"tuple_filter": {"relation": "viewer"}, "attribute_filter": {}}
    api.post(f"/v1/tenants/{tenant}/data/delete", json=filters)

    def asked(as_of, path="permissions/check", body=CHECK):
        headers = {"grantlog-as-of": as_of}
        return api.post(f"/v1/tenants/{tenant}/{path}", json=body, headers=headers)

    assert [asked(at).json()["can"] for at in "123"] == [
        "CHECK_RESULT_DENIED", "CHECK_RESULT_ALLOWED", "CHECK_RESULT_DENIED",
    ]  # fmt: skip
    read = {"metadata": {}, "filter": {}}
    assert len(asked("2", "data/relationships/read", read).json()["tuples"]) == 1
    assert asked("3", "data/relationships/read", read).json()["tuples"] == []
    now = datetime.now(UTC).isoformat()  # noqa: TID251 - the real clock is what is asked about
    assert asked(now).json()["can"] == "CHECK_RESULT_DENIED"
    for refused in ("4", "soon", "2999-01-01T00:00:00Z"):
        assert asked(refused).status_code == 400, refused
    assert asked("1", "schemas/write", {"schema": SCHEMA}).status_code == 400


def test_health_and_documentation_are_there(api):
    assert api.get("/healthz").json()["status"] == "SERVING"
    assert "swagger" in api.get("/docs").text.lower()
    document = api.get("/openapi.json").json()
    assert len([verb for path in document["paths"].values() for verb in path]) == 26


def test_browsers_may_call_it(api, tenant):
    answer = api.options(
        f"/v1/tenants/{tenant}/permissions/check",
        headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"},
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("flood", [b"X-A: " + b"a" * 100_000, b"X-A: b\r\n" * 20_000])
def test_a_head_that_is_too_large_ends_the_connection(server, flood):
    host, port = server.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        with contextlib.suppress(OSError):  # it may be closed before all is sent
            connection.sendall(b"POST /v1/tenants/list HTTP/1.1\r\nHost: x\r\n" + flood)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")
            assert connection.recv(1000) == b""


def test_a_large_body_right_behind_a_small_head_is_no_large_head(api, tenant):
    body = b'{"schema":"' + b" " * 500_000 + b'"}'
    answer = api.post(f"/v1/tenants/{tenant}/schemas/write", content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == 3
