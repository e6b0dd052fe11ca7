"""Only nodes of one log open streams to each other, each time anew."""

from __future__ import annotations

from itertools import count

import pytest

from grantlog.cluster.opening import NONCE_BYTES, Credentials, ring_key

KEY = ring_key(b"a secret of the primary")


def credentials(key: bytes = KEY, life: str = "1/2/3/4") -> Credentials:
    numbers = count(1)
    return Credentials(key, lambda: life, lambda size: next(numbers).to_bytes(size, "big"))


ONE, OTHER = bytes(NONCE_BYTES), b"\1" * NONCE_BYTES


def test_two_nodes_of_a_log_admit_each_other():
    asker, asked = credentials(), credentials()
    assert asked.admits_asker(asker.asker(ONE, OTHER), ONE, OTHER)
    assert asker.admits_asked(asked.asked(ONE, OTHER), ONE, OTHER)


@pytest.mark.parametrize(
    "stranger", [credentials(key=ring_key(b"another")), credentials(life="1/2/3/5")]
)
def test_a_node_of_another_key_or_log_is_refused(stranger):
    assert not credentials().admits_asker(stranger.asker(ONE, OTHER), ONE, OTHER)
    assert not credentials().admits_asked(stranger.asked(ONE, OTHER), ONE, OTHER)


def test_what_was_heard_before_proves_nothing():
    heard = credentials().asker(ONE, OTHER)
    assert not credentials().admits_asker(heard, OTHER, OTHER)
    assert not credentials().admits_asker(heard, ONE, ONE)


def test_a_proof_cannot_be_handed_back():
    heard = credentials().asker(ONE, OTHER)
    assert not credentials().admits_asked(heard, ONE, OTHER)


@pytest.mark.parametrize("nonce", [b"", b"short", bytes(NONCE_BYTES + 1)])
def test_random_bytes_of_another_length_are_refused(nonce):
    node = credentials()
    assert not node.admits_asker(node.asker(ONE, nonce), ONE, nonce)
    assert not node.admits_asked(node.asked(nonce, ONE), nonce, ONE)


def test_who_does_not_know_its_log_yet_admits_nobody():
    node = credentials(life="")
    assert not node.admits_asker(node.asker(ONE, OTHER), ONE, OTHER)


def test_the_key_is_not_the_secret_itself():
    assert ring_key(b"secret") != b"secret"
    assert ring_key(b"secret") != ring_key(b"other")
