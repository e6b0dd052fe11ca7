"""What each of several workers of a node is told."""

import socket

import pytest
from grantlog_api.listening import kept, listen
from grantlog_api.settings import ApiSettings
from grantlog_api.workers import worker_settings

from grantlog.errors import PreconditionError

URL = "postgresql://db/grantlog"


def node(**told) -> ApiSettings:
    return ApiSettings(database_url=URL, **told)


def test_connections_are_divided_and_each_worker_has_what_it_needs():
    told = worker_settings(node(workers=3, write_connections_max=8, read_connections_max=2), 0)
    assert told["write_connections_max"] == "3"
    assert told["read_connections_max"] == "1"
    assert told["watch_connections_max"] == "2"
    assert ApiSettings(database_url=URL, **told).workers == 1


def test_only_the_first_worker_publishes():
    settings = node(workers=3)
    told = [worker_settings(settings, number).get("kafka_publish") for number in range(3)]
    assert told == [None, "false", "false"]


def test_each_worker_has_a_port_of_its_own_in_the_ring():
    told = [worker_settings(node(workers=3, ring="postgres"), n)["ring_port"] for n in range(3)]
    assert told == ["3480", "3481", "3482"]
    assert "ring_port" not in worker_settings(node(workers=3, ring="postgres", ring_port=0), 1)
    assert "ring_port" not in worker_settings(node(workers=3), 1)


def test_each_worker_is_told_which_it_is_for_its_metrics():
    settings = node(workers=2)
    told = [ApiSettings(database_url=URL, **worker_settings(settings, n)).worker for n in (0, 1)]
    assert told == ["0", "1"]
    assert not node().worker


@pytest.mark.parametrize("several", [{"workers": 2}, {"share_ports": True}, {"ring": "postgres"}])
def test_what_one_process_knows_is_not_enough_for_several(several):
    with pytest.raises(ValueError, match="only writer"):
        node(consistency="node", **several)


def test_a_kept_port_is_the_workers_alone():
    with kept("127.0.0.1", 0, "GRANTLOG_HTTP_PORT") as port:
        first = listen("127.0.0.1", port, "GRANTLOG_HTTP_PORT", shared=True)
        second = listen("127.0.0.1", port, "GRANTLOG_HTTP_PORT", shared=True)
        with first, second, pytest.raises(PreconditionError, match="GRANTLOG_GRPC_PORT"):
            listen("127.0.0.1", port, "GRANTLOG_GRPC_PORT")


def test_a_port_that_another_node_keeps_cannot_be_kept():
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as theirs:
        port = theirs.getsockname()[1]
        with pytest.raises(PreconditionError), kept("127.0.0.1", port, "GRANTLOG_HTTP_PORT"):
            pass
