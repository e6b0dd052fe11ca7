"""Walking a tree: what is an entry, and what is left out and counted."""

import os

import pytest
from posixfs.facts import facts
from posixfs.walk import Entry, Skipped, walk

from grantlog.model.attributes import parse_attribute
from grantlog.model.tuples import parse_tuple


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_text("x")
    (tmp_path / "d" / "file").chmod(0o640)
    (tmp_path / "d" / "again").hardlink_to(tmp_path / "d" / "file")
    (tmp_path / "link").symlink_to("d")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def walked(root):
    skipped = Skipped()
    return {entry.path: entry for entry in walk(root, skipped)}, skipped


def test_the_directories_above_the_root_are_entries_too(tree):
    entries, _ = walked(tree / "d")
    assert b"/" in entries
    assert os.fsencode(tree) in entries
    assert os.fsencode(tree / "d" / "file") in entries


def test_a_parent_comes_before_its_children(tree):
    seen = set()
    for entry in walk(tree, Skipped()):
        assert entry.parent is None or entry.parent in seen
        seen.add(entry.path)


def test_a_hard_link_is_an_entry_per_path(tree):
    entries, _ = walked(tree)
    one, other = entries[os.fsencode(tree / "d/file")], entries[os.fsencode(tree / "d/again")]
    assert one.mode == other.mode == 0o640
    assert (one.uid, one.gid) == (os.getuid(), os.getgid())


def test_symbolic_links_and_special_files_are_counted_and_left_out(tree):
    entries, skipped = walked(tree)
    assert os.fsencode(tree / "link") not in entries
    assert skipped.counts == {"symbolic link": 1, "special file": 1}


def test_a_root_that_is_a_symbolic_link_is_followed_once(tree):
    entries, _ = walked(tree / "link")
    assert os.fsencode(tree / "d" / "file") in entries


def test_a_name_that_is_not_text_is_an_entry(tree):
    odd = tree / os.fsdecode(b"\xff\n")
    odd.touch()
    entries, _ = walked(tree)
    assert os.fsencode(odd) in entries


def test_a_directory_that_vanishes_is_reported_by_path(tree):
    skipped = Skipped()
    for entry in walk(tree / "d", skipped):
        if entry.path == os.fsencode(tree / "d"):
            (tree / "d").rename(tree / "gone")
    assert skipped.notable == [("unreadable directory", os.fsencode(tree / "d"))]


def test_the_depth_is_the_number_of_directories_above():
    assert [Entry(p, True, 0, 0, 0).depth for p in (b"/", b"/a", b"/a/b")] == [0, 1, 2]


def test_every_fact_is_in_a_text_form_that_the_import_reads(tree):
    entries = walk(tree, Skipped())
    for fact in facts([], entries):
        (parse_attribute if "$" in fact else parse_tuple)(fact)


def test_an_entry_has_four_tuples_and_its_mode():
    lines = list(facts([], [Entry(b"/a", False, 0o4755, 9, 8)]))[2:]
    assert lines == [
        "file::a#filesystem@filesystem:host",
        "file::a#parent@directory::",
        "file::a#owner@user:9",
        "file::a#group@group:8",
        "file::a$mode|integer:2541",
    ]
