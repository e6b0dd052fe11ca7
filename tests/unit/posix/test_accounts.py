"""Users and their groups, by number."""

import pytest
from posixfs.accounts import User, read_accounts


@pytest.fixture
def accounts(tmp_path):
    def read(passwd, group):
        (tmp_path / "passwd").write_text(passwd)
        (tmp_path / "group").write_text(group)
        return read_accounts(tmp_path / "passwd", tmp_path / "group")

    return read


def test_a_user_is_in_the_primary_group_and_in_those_that_list_the_name(accounts):
    users = accounts("ann:x:7:70:Ann:/:/bin/sh\n", "staff:x:71:ann,bob\nother:x:72:bob\n")
    assert users == {7: User(7, 70, frozenset({70, 71}))}


def test_a_primary_group_without_an_entry_counts(accounts):
    assert accounts("ann:x:7:70::/:\n", "")[7].groups == {70}


def test_two_names_of_one_number_share_their_groups(accounts):
    users = accounts("a:x:7:70::/:\nb:x:7:71::/:\n", "g:x:72:b\n")
    assert users == {7: User(7, 70, frozenset({70, 71, 72}))}


def test_lines_that_are_no_accounts_are_passed_over(accounts):
    users = accounts("+::::::\n\n# x\nann:x:7:70::/:\n", "+:::\n\nbroken\ng:x:71:ann,\n")
    assert users == {7: User(7, 70, frozenset({70, 71}))}
