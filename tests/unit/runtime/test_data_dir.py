from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from grantlog.errors import PreconditionError
from grantlog.runtime.data_dir import FORMAT, check_format, claimed


def test_a_missing_folder_is_made_for_us_alone(tmp_path: Path):
    with claimed(tmp_path / "a" / "b") as data_dir:
        assert data_dir.path.stat().st_mode & 0o777 == 0o700


def test_the_folder_is_free_again_after_the_block(tmp_path: Path):
    with claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


def test_a_folder_in_use_names_its_user(tmp_path: Path):
    refused = pytest.raises(PreconditionError, match=f"pid {os.getpid()}.: stop that one")
    with claimed(tmp_path), refused, claimed(tmp_path):
        pass


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(PreconditionError, match="not a data directory"), claimed(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_mount_point_is_not_somebody_elses_folder(tmp_path: Path):
    (tmp_path / "lost+found").mkdir()
    with claimed(tmp_path):
        pass


def test_a_path_through_a_file_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    refused = pytest.raises(PreconditionError, match="cannot be written")
    with refused, claimed(tmp_path / "file" / "data"):
        pass


def test_the_first_start_leaves_a_mark_that_the_second_accepts(tmp_path: Path):
    with claimed(tmp_path) as data_dir:
        check_format(data_dir, 18)
        check_format(data_dir, 18)
        assert json.loads(data_dir.marker.read_text()) == {"format": FORMAT, "postgres_major": 18}


def test_a_start_killed_before_its_mark_is_recognised_by_its_cluster(tmp_path: Path):
    with claimed(tmp_path) as data_dir:
        data_dir.postgres.mkdir()
        (data_dir.postgres / "PG_VERSION").write_text("17\n")
        with pytest.raises(PreconditionError, match="belongs to Postgres 17"):
            check_format(data_dir, 18)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"format": 2, "postgres_major": 18}', "has format 2"),
        ('{"format": 1, "postgres_major": 17}', "belongs to Postgres 17"),
        ('{"format": "1"}', "does not say what made"),
        ("[]", "does not say what made"),
        ("not json", "does not say what made"),
    ],
)
def test_another_versions_mark_is_refused(tmp_path: Path, text: str, says: str):
    (tmp_path / "grantlog.json").write_text(text)
    with claimed(tmp_path) as data_dir, pytest.raises(PreconditionError, match=says):
        check_format(data_dir, 18)
