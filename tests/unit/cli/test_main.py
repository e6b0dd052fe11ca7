from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from grantlog.cli.__main__ import main
from grantlog.cli.ports import free_port
from grantlog.errors import PreconditionError
from grantlog.runtime.settings import default_data_dir


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_version_is_one_line(capsys, asked: str):
    assert main([asked]) == 0
    said = capsys.readouterr().out
    assert said.startswith("grantlog 0.")
    assert said.count("\n") == 1


@pytest.mark.parametrize("group", [[], ["data"], ["schema"], ["projector"], ["epoch"]])
def test_a_group_of_commands_alone_prints_its_help_as_laid_out(capsys, group: list[str]):
    assert main(group) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(" ".join(["Usage: grantlog", *group, "[OPTIONS] COMMAND"]))
    assert "Commands:" in lines
    assert "  --help" in "".join(line[:8] + "\n" for line in lines)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["nonsense"], "grantlog"),
        (["data", "nonsense"], "grantlog data"),
        (["data", "import", "--nonsense"], "grantlog data import"),
        (["check", "doc:1"], "grantlog check"),
    ],
)
def test_a_wrong_command_line_names_the_command_whose_help_helps(
    capsys, arguments: list[str], command: str
):
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f" (see {command} --help)\n")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("localhost", "'localhost' is not HOST:PORT"),
        (":3478", "':3478' is not HOST:PORT"),
        ("::1:3478", "is not HOST:PORT"),
        ("http://127.0.0.1:3478", "leave 'http://' out"),
        ("127.0.0.1:70000", "70000 is not a port"),
    ],
)
def test_an_address_that_is_none_is_refused_before_any_call(capsys, address: str, says: str):
    assert main(["check", "doc:1", "view", "user:1", "--grpc-address", address]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["serve", "--nonsense"], "No such option: --nonsense"),
        (["serve", "--http-port", "many"], "'GRANTLOG_HTTP_PORT'): not a whole number (see"),
        (["serve", "--http-port", "70000"], "'GRANTLOG_HTTP_PORT'): must be at most 65535 (see"),
        (
            ["serve", "--workers", "0"],
            "'--workers' (env var: 'GRANTLOG_WORKERS'): must be at least 1",
        ),
        (["serve", "--grpc-server", "x"], "'GRANTLOG_GRPC_SERVER'): 'x' is not one of 'auto'"),
        (["check", "doc:1"], "Missing argument 'PERMISSION'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(capsys, arguments, says: str):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_contradicting_flags_are_one_line(capsys):
    assert main(["serve", "--with-replica", "--replica-url", "postgresql://x"]) == 1
    assert capsys.readouterr().err.startswith("grantlog: --with-replica is for the embedded")


def test_a_missing_file_is_one_line(capsys, tmp_path: Path):
    assert main(["schema", "write", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"grantlog: there is no file {tmp_path}/none\n"


@pytest.mark.parametrize("command", [["schema", "write"], ["data", "import"]])
def test_a_folder_in_a_files_place_is_one_line(capsys, tmp_path: Path, command: list[str]):
    assert main([*command, str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"grantlog: {tmp_path} is a folder: name a file\n"


def test_a_badly_written_entity_is_one_line_before_any_call(capsys):
    assert main(["check", "doc", "view", "user:1", "--grpc-address", "127.0.0.1:1"]) == 1
    assert "'doc' is not an entity" in capsys.readouterr().err


def test_root_keeps_data_where_the_machine_does_and_a_user_at_home(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/grantlog")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "grantlog"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".local/share/grantlog"


def test_a_port_of_0_is_chosen_and_a_given_one_is_kept():
    chosen = free_port("127.0.0.1", 0, "--http-port")
    assert chosen > 0
    assert free_port("127.0.0.1", chosen, "--http-port") == chosen


def test_a_port_in_use_is_named_with_its_flag():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PreconditionError, match=f"port {port} .* --grpc-port"):
            free_port("127.0.0.1", port, "--grpc-port")


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_refused(host: str):
    with pytest.raises(PreconditionError, match="--host"):
        free_port(host, 0, "--http-port")
