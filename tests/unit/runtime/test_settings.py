import pytest
import typer
from grantlog_api.settings import ApiSettings
from grantlog_projector.settings import ProjectorSettings
from grantlog_watch.settings import WatchServiceSettings

from grantlog.cli.app import app
from grantlog.errors import InvalidInputError
from grantlog.runtime.settings import ENV_PREFIX, KNOWN, read_settings, refuse_unknown_settings


def test_every_setting_that_is_read_is_known_and_no_other():
    read = {
        f"{ENV_PREFIX}{name.upper()}"
        for settings in (ApiSettings, ProjectorSettings, WatchServiceSettings)
        for name in settings.model_fields
    }
    group = typer.main.get_command(app)
    waiting = [group]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for option in command.params:
            names = getattr(option, "envvar", None) or []
            read.update([names] if isinstance(names, str) else names)
    assert {name for name in read if name.startswith(ENV_PREFIX)} == KNOWN


def test_a_mistyped_setting_is_refused_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("GRANTLOG_CONSISTENCE", "node")
    with pytest.raises(InvalidInputError, match="did you mean GRANTLOG_CONSISTENCY"):
        refuse_unknown_settings()


@pytest.mark.parametrize(
    "name",
    [
        "PORT",
        "SERVICE_HOST",
        "SERVICE_PORT_GRPC",
        "PORT_3476_TCP_ADDR",
        "API_PORT",
        "TEST_POSTGRES",
    ],
)
def test_what_kubernetes_and_the_tests_set_is_no_setting(monkeypatch, name):
    monkeypatch.setenv(f"GRANTLOG_{name}", "tcp://10.0.0.1:3476")
    refuse_unknown_settings()


def test_a_list_that_is_no_json_is_told_how_to_write(monkeypatch):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("GRANTLOG_CORS_ALLOWED_ORIGINS", "https://a")
    with pytest.raises(InvalidInputError, match="GRANTLOG_CORS_ALLOWED_ORIGINS: expected JSON"):
        read_settings(ApiSettings)


def test_a_wrong_setting_is_named_without_its_value(monkeypatch):
    monkeypatch.setenv("GRANTLOG_REPLICA_URL", "postgresql://u:s3cret@h/db")
    monkeypatch.setenv("GRANTLOG_REQUEST_TIMEOUT_S", "soon")
    with pytest.raises(InvalidInputError) as caught:
        read_settings(ApiSettings)
    told = str(caught.value)
    assert "GRANTLOG_DATABASE_URL must be set" in told
    assert "GRANTLOG_REQUEST_TIMEOUT_S must be a number (A call" in told
    assert "s3cret" not in told
    assert "soon" not in told


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RESULT_CACHE_MB", "10GB", "must be a whole number (Memory for answers of checks, in meb"),
        ("RESULT_CACHE_MB", "0.5", "must be a whole number ("),
        ("RESULT_CACHE_MB", "-1", "must be at least 0 ("),
        ("RELATION_CACHE_MB", "9999999", "must be at most 1000000 ("),
        ("LINGER_S", "soon", "must be a number (How long calls"),
        ("RING", "on", "must be 'off', 'postgres', 'static' or 'dns'"),
        ("RING_NODES", "10.0.0.1", "is not written as it must be (`host:port` of all nodes"),
        ("RING_NODES", "a:1 b:2", "is not written as it must be (`host:port` of all nodes"),
        ("WATCH_ADDRESS", "watch", "is not written as it must be (`host:port` of watch"),
        ("KAFKA_PUBLISH", "maybe", "must be true or false"),
        ("HTTP_PORT", "70000", "must be at most 65535 ("),
    ],
)
def test_a_wrong_setting_says_what_it_must_be(monkeypatch, name, value, says):
    """In our own words: no library's name, no expression, no value."""
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv(f"GRANTLOG_{name}", value)
    with pytest.raises(InvalidInputError) as caught:
        read_settings(ApiSettings)
    told = str(caught.value)
    assert told.startswith(f"INVALID_SETTING: GRANTLOG_{name} {says}")
    assert not any(strange in told for strange in ("Input", "[^", "Value error", "string"))


@pytest.mark.parametrize(
    ("ring", "nodes", "says"),
    [
        ("static", "", "GRANTLOG_RING=static needs GRANTLOG_RING_NODES"),
        ("", "a:3480", "GRANTLOG_RING_NODES says who is there, but without GRANTLOG_RING=static"),
        ("static", "a:3480,b:99999", "GRANTLOG_RING_NODES: the port of b:99999"),
        ("static", "a:0", "GRANTLOG_RING_NODES: the port of a:0"),
    ],
)
def test_settings_of_a_ring_that_do_not_fit_together_name_their_variables(
    monkeypatch, ring, nodes, says
):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("GRANTLOG_RING_NODES", nodes)
    if ring:
        monkeypatch.setenv("GRANTLOG_RING", ring)
    with pytest.raises(InvalidInputError) as caught:
        read_settings(ApiSettings)
    assert str(caught.value).startswith(f"INVALID_SETTING: {says}")


def test_the_ports_of_all_workers_in_a_ring_must_be_ports(monkeypatch):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("GRANTLOG_RING", "postgres")
    monkeypatch.setenv("GRANTLOG_RING_PORT", "65533")
    monkeypatch.setenv("GRANTLOG_WORKERS", "3")
    assert read_settings(ApiSettings).workers == 3
    monkeypatch.setenv("GRANTLOG_WORKERS", "4")
    with pytest.raises(InvalidInputError, match="GRANTLOG_RING_PORT must be at most 65532 with 4"):
        read_settings(ApiSettings)


def test_a_ring_that_is_turned_off_may_keep_its_list(monkeypatch):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("GRANTLOG_RING_NODES", "a:3480,b:3480")
    monkeypatch.setenv("GRANTLOG_RING", "off")
    assert read_settings(ApiSettings).ring == "off"


def test_bounds_that_contradict_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("GRANTLOG_FACTS_PER_WRITE_MAX", "100000")
    with pytest.raises(InvalidInputError, match="at least twice"):
        read_settings(ApiSettings)


def test_replicas_are_addresses_with_spaces_between_them(monkeypatch):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql://p")
    assert read_settings(ApiSettings).replica_dsns == []
    monkeypatch.setenv("GRANTLOG_REPLICA_URL", " postgresql://a/x  postgres://b ")
    assert read_settings(ApiSettings).replica_dsns == ["postgresql://a/x", "postgres://b"]


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ("postgresql://a postgresql://b postgresql://a", "names an address twice"),
        ("postgresql://a host=b", "must hold postgresql:// addresses with spaces between them"),
        ("postgresql://u:secret@[b/x", "must hold postgresql:// addresses with spaces between"),
    ],
)
def test_replicas_that_are_no_addresses_are_refused_without_showing_them(
    monkeypatch, addresses, said
):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql://p")
    monkeypatch.setenv("GRANTLOG_REPLICA_URL", addresses)
    with pytest.raises(InvalidInputError, match=said) as caught:
        read_settings(ApiSettings)
    assert "secret" not in str(caught.value)


def test_a_projector_folds_into_one_replica(monkeypatch):
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", "postgresql://p")
    monkeypatch.setenv("GRANTLOG_REPLICA_URL", "postgresql://a postgresql://b")
    with pytest.raises(InvalidInputError, match="a projector folds into one"):
        read_settings(ProjectorSettings)
