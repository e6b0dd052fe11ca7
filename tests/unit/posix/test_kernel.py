"""The kernel as judge, and questions that are spread over what decides them."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from posixfs.accounts import User, read_accounts
from posixfs.kernel import Access, ask_kernel, why_not
from posixfs.mounts import refuses_execution
from posixfs.questions import STRATA, Sampler
from posixfs.trees import TreeMaker
from posixfs.walk import Entry, Skipped, walk

needs_root = pytest.mark.skipif(why_not() is not None, reason=f"not run: {why_not()}")
STRANGER = User(41_900, 42_900, frozenset({42_900}))


@pytest.fixture
def open_folder():
    """A folder that every user can reach: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_the_kernel_answers_as_the_user_and_not_as_root(open_folder):
    secret = open_folder / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    question = [Access(os.fsencode(secret), "read")]
    assert ask_kernel(STRANGER, question) == [False]
    assert ask_kernel(User(0, 0, frozenset({0})), question) == [True]


@needs_root
def test_supplementary_groups_count(open_folder):
    shared = open_folder / "shared"
    shared.write_text("x")
    shared.chmod(0o040)
    os.chown(shared, 0, 42_901)
    member = User(41_900, 42_900, frozenset({42_900, 42_901}))
    question = [Access(os.fsencode(shared), "read")]
    assert ask_kernel(member, question) == [True]
    assert ask_kernel(STRANGER, question) == [False]


@needs_root
def test_an_answer_that_is_not_about_permission_names_its_error(open_folder):
    missing = Access(os.fsencode(open_folder / "missing"), "read")
    assert ask_kernel(STRANGER, [missing]) == ["ENOENT"]


def expected(question):
    """What a stratum means, said again in the shortest way."""
    bit = {"read": 4, "write": 2, "execute": 1}[question.operation]
    mode, stratum = question.entry.mode, question.stratum
    if stratum == "root":
        return question.operation != "execute" or question.entry.is_directory or mode & 0o111 != 0
    if stratum == "blocked":
        return False
    return mode >> {"owner": 6, "group": 3, "other": 0}[stratum] & bit != 0


@needs_root
def test_what_a_stratum_says_decides_is_what_the_kernel_goes_by(open_folder):
    base = open_folder / "generated"
    TreeMaker(base, entries=300, seed=5).make()
    users = read_accounts(base / "passwd", base / "group")
    entries = list(walk(base / "tree", Skipped()))
    asked = Sampler(users, entries, seed=5).questions(500)
    assert Counter(q.stratum for q in asked) == dict.fromkeys(STRATA, 100)
    may_execute = not refuses_execution(open_folder)
    for user in {q.user for q in asked}:
        of_user = [q for q in asked if q.user == user and (q.operation != "execute" or may_execute)]
        assert ask_kernel(user, [q.access for q in of_user]) == [expected(q) for q in of_user]


@needs_root
def test_the_same_seed_makes_the_same_tree(open_folder):
    shapes = []
    for attempt in ("one", "two"):
        base = open_folder / attempt
        TreeMaker(base, entries=60, seed=3).make()
        below = len(os.fsencode(base))
        shapes.append([(e.path[below:], *e[1:]) for e in walk(base, Skipped())][5:])
    assert shapes[0] == shapes[1]


def test_the_same_seed_asks_the_same_questions():
    users = {0: User(0, 0, frozenset({0})), 7: User(7, 70, frozenset({70}))}
    entries = [Entry(b"/", True, 0o755, 0, 0), Entry(b"/a", False, 0o640, 7, 70)]
    assert Sampler(users, entries, 1).questions(40) == Sampler(users, entries, 1).questions(40)


def test_what_a_tree_cannot_give_the_other_strata_give():
    users = {0: User(0, 0, frozenset({0})), 7: User(7, 70, frozenset({70}))}
    entries = [Entry(b"/", True, 0o755, 0, 0)]
    strata = Counter(q.stratum for q in Sampler(users, entries, 1).questions(40))
    assert strata.total() == 40
    assert set(strata) == {"root", "other"}


def test_an_owner_without_an_account_is_asked_as_one_without_our_groups():
    entries = [Entry(b"/", True, 0o755, 0, 0), Entry(b"/a", False, 0o400, 99, 70)]
    asked = Sampler({}, entries, 1).questions(20)
    owners = {q.user for q in asked if q.user.uid == 99}
    assert owners
    assert all(70 not in user.groups for user in owners)
