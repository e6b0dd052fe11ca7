from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from grantlog.runtime.logging import configure_logging


@pytest.fixture(autouse=True)
def _restore():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_service():
    stream = io.StringIO()
    configure_logging("api", stream=stream)
    structlog.get_logger("x").info("said", n=1)
    (line,) = written(stream)
    assert line["event"] == "said"
    assert (line["service"], line["n"], line["level"]) == ("api", 1, "info")
    assert str(line["timestamp"]).endswith("Z")


def test_lines_below_the_level_are_not_written():
    stream = io.StringIO()
    configure_logging("api", "warning", stream=stream)
    structlog.get_logger("x").info("quiet")
    logging.root.info("quiet too")
    assert stream.getvalue() == ""


def test_libraries_lines_have_the_same_form():
    stream = io.StringIO()
    configure_logging("api", stream=stream)
    logging.root.manager.getLogger("uvicorn.error").warning("said %s", "so")
    (line,) = written(stream)
    assert (line["event"], line["service"]) == ("said so", "api")
    assert line["level"] == "warning"


@pytest.mark.parametrize("library", ["aiokafka", "aiokafka.producer.sender", "asyncpg.pool"])
def test_a_driver_that_tries_again_is_heard_at_debug_alone(library: str):
    """Without a broker it says so a dozen times a second, and we say it in our words."""
    for level, heard in (("info", 0), ("debug", 1)):
        stream = io.StringIO()
        configure_logging("api", level, stream=stream)
        logging.root.manager.getLogger(library).error("Unable to connect")
        assert len(written(stream)) == heard


def test_what_shows_passwords_is_not_heard_at_debug_either():
    """Kafka's client shows each request there, the one with the password too."""
    for level in ("debug", "info", "debug"):
        stream = io.StringIO()
        configure_logging("api", level, stream=stream)
        logging.root.manager.getLogger("aiokafka.conn").debug("Request: secret")
        assert written(stream) == []


def test_a_traceback_stays_in_its_line():
    stream = io.StringIO()
    configure_logging("api", stream=stream)
    try:
        int("why")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = written(stream)
    assert "ValueError: invalid" in str(line["exception"])


def test_a_terminal_gets_lines_for_people():
    stream = io.StringIO()
    configure_logging("api", stream=stream, for_people=True)
    structlog.get_logger("x").info("said")
    assert "said" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
