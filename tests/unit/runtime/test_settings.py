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
    assert "GRANTLOG_DATABASE_URL: Field required" in told
    assert "GRANTLOG_REQUEST_TIMEOUT_S: " in told
    assert "s3cret" not in told
    assert "soon" not in told


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
