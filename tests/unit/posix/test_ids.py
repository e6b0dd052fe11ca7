"""Paths become ids that the API accepts, and never the same one twice."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from posixfs.ids import path_id

from grantlog.model.ids import ID

paths = st.binary(max_size=300).map(lambda tail: b"/" + tail.replace(b"\x00", b""))
close_paths = st.text("/:+-2f", max_size=8).map(lambda tail: b"/" + tail.encode())


def test_an_ordinary_path_stays_readable():
    assert path_id(b"/usr/lib/python3.11/x_y-z@1") == ":usr:lib:python3.11:x_y-z@1"


def test_the_root_has_an_id():
    assert path_id(b"/") == ":"


def test_bytes_outside_the_alphabet_are_spelled_in_hex():
    assert path_id(b"/a:b/c+d e\n\xff") == ":a+3ab:c+2bd+20e+0a+ff"


def test_a_spelling_of_128_bytes_is_kept_and_one_of_129_is_hashed():
    assert path_id(b"/" + b"a" * 127) == ":" + "a" * 127
    hashed = path_id(b"/" + b"a" * 128)
    assert hashed.startswith("+")
    assert len(hashed) == 1 + 64


def test_a_relative_path_is_refused():
    with pytest.raises(ValueError, match="not an absolute path"):
        path_id(b"usr")


@given(paths)
def test_every_id_is_one_that_the_api_accepts(path):
    assert ID.fullmatch(path_id(path))


@given(st.one_of(paths, close_paths), st.one_of(paths, close_paths))
@example(b"/a:b", b"/a/b")
@example(b"/+2f", b"//")
def test_different_paths_have_different_ids(one, other):
    assert (path_id(one) == path_id(other)) == (one == other)


@given(st.binary(min_size=200, max_size=300).map(lambda tail: b"/" + tail), paths)
def test_a_hashed_id_is_never_a_spelled_one(long, other):
    assert path_id(long) != path_id(other) or long == other
    assert path_id(long)[0] == "+"
