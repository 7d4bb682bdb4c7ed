"""Log lines as plain text or JSON, without keys."""

import json
import logging

import pytest

from orpheus_server.server.logs import JsonFormatter, UvicornFilter, configure_logging
from orpheus_server.settings import Settings, load_settings


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(load_settings(), warnings=["TTS_X is 100 % wrong"])
    logging.getLogger("orpheus_server.part").info("request=%s", "r1")
    logging.getLogger("orpheus_server.part").debug("hidden")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" WARNING orpheus_server: TTS_X is 100 % wrong")
    assert second.endswith(" INFO orpheus_server.part: request=r1")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(load_settings(log_format="json", log_level="DEBUG"))
    logger = logging.getLogger("orpheus_server.part")
    logger.debug("two\nlines, %s", '"ü"')
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("failed")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = map(json.loads, err.splitlines())
    assert first.pop("time")
    assert first == {
        "level": "DEBUG",
        "logger": "orpheus_server.part",
        "message": 'two\nlines, "ü"',
    }
    assert second["traceback"].endswith("ValueError: broken")


def test_a_lone_surrogate_is_still_one_json_line() -> None:
    record = logging.LogRecord("name", logging.INFO, "", 0, "a\ud800b", None, None)
    line = JsonFormatter().format(record).encode("utf-8", "backslashreplace").decode()
    assert json.loads(line)["message"] == "a\ud800b"


def test_configuring_twice_does_not_duplicate_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(load_settings())
    configure_logging(load_settings())
    logging.getLogger("orpheus_server").info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_other_loggers_are_unchanged(loggers: list[logging.Logger]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging(load_settings(log_level="ERROR"))
    assert (root.handlers, root.level) == before
    assert [logger.level for logger in loggers] == [logging.ERROR] * 3


def test_query_strings_are_not_logged() -> None:
    """uvicorn logged them, with keys that were put there by mistake and any text a client sent."""
    secret = "/v1/audio/stream?api_key=sk-secret&text=hello"
    session = logging.LogRecord(
        *("uvicorn.error", logging.INFO, "", 0, '%s - "WebSocket %s" [accepted]'),
        ("1.2.3.4:5", secret),
        None,
    )
    assert not UvicornFilter().filter(session)
    request = logging.LogRecord(
        *("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d'),
        ("1.2.3.4:5", "GET", secret, "1.1", 200),
        None,
    )
    assert UvicornFilter().filter(request)
    assert request.getMessage() == '1.2.3.4:5 - "GET /v1/audio/stream HTTP/1.1" 200'


@pytest.mark.parametrize(
    ("message", "is_kept"),
    [
        ("Waiting for application startup.", False),
        ("Application startup complete.", False),
        ("Application startup failed. Exiting.", True),
        ("Uvicorn running on %s://%s:%d (Press CTRL+C to quit)", True),
    ],
)
def test_the_start_is_not_complete_before_the_model_is_loaded(message: str, is_kept: bool) -> None:
    """uvicorn logged "Application startup complete" half a minute before the first answer."""
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, message, None, None)
    assert UvicornFilter().filter(record) is is_kept


def test_uvicorns_loggers_get_one_filter_each() -> None:
    for _ in range(2):
        configure_logging(Settings())
    for name in ("uvicorn.error", "uvicorn.access"):
        kinds = [type(each) for each in logging.getLogger(name).filters]
        assert kinds.count(UvicornFilter) == 1
