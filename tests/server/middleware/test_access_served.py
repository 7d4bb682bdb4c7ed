"""Keys over real connections, as clients send them, and never in a log."""

import http.client
import json
import logging
from collections.abc import Iterator

import pytest
from openai import AuthenticationError, OpenAI
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from orpheus_server.server.logs import configure_logging
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer
from tests.support.keyed import KEY, ODD_KEY, bearer64, keyed
from tests.support.served import ServedFakes


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    settings = Settings(
        api_keys=SecretStr(f"anna:{KEY},ben:{ODD_KEY}"), cors_origins="https://a.example"
    )
    with ServedFakes(FakeServer(settings=settings)) as served:
        yield served


class TestServed:
    """A real uvicorn, and clients as people have them."""

    def test_the_sdk(self, served: ServedFakes) -> None:
        wrong = OpenAI(base_url=f"{served.url}/v1", api_key="wrong-key", max_retries=2)
        with wrong as client, pytest.raises(AuthenticationError) as refused:
            client.audio.speech.create(model="tts-1", voice="alloy", input="Hi.")
        assert refused.value.status_code == 401
        assert refused.value.code == "invalid_api_key"
        assert (refused.value.request_id or "").startswith("req_")
        with OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0) as client:
            assert client.audio.speech.create(
                model="tts-1", voice="alloy", input="Hi.", response_format="pcm"
            ).content

    def test_a_gigabyte_is_not_read(self, served: ServedFakes) -> None:
        """Whoever has no key must not keep the server busy receiving."""
        with served.connect() as connection:
            connection.sendall(
                b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Authorization: Bearer wrong-key\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1073741824\r\n\r\n"
            )
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nconnection: close\r\n" in head.lower() + b"\r\n"
        assert json.loads(body)["error"]["code"] == "invalid_api_key"

    @pytest.mark.parametrize("key", [KEY, ODD_KEY])
    def test_a_socket_with_the_header(self, served: ServedFakes, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        with connect(served.socket_url, additional_headers=headers) as connection:
            assert connection.subprotocol is None
            connection.send('{"type": "session.start"}')
            assert json.loads(connection.recv(WAIT_LIMIT_SEC))["type"] == "session.started"

    @pytest.mark.parametrize("token", [f"bearer.{KEY}", bearer64(ODD_KEY)])
    def test_a_socket_as_a_browser_opens_it(self, served: ServedFakes, token: str) -> None:
        offered = [Subprotocol("orpheus"), Subprotocol(token)]
        with connect(
            served.socket_url, subprotocols=offered, origin=Origin("https://a.example")
        ) as connection:
            assert connection.subprotocol == "orpheus"
            assert connection.response is not None
            assert connection.response.headers.get_all("Sec-WebSocket-Protocol") == ["orpheus"]

    @pytest.mark.parametrize(
        ("offered", "origin", "status", "code"),
        [
            ([], None, 401, "invalid_api_key"),
            (["orpheus", "bearer.wrong-key"], None, 401, "invalid_api_key"),
            (["orpheus", f"bearer.{KEY}"], "https://evil.example", 403, "origin_not_allowed"),
        ],
    )
    def test_a_refused_socket(
        self,
        served: ServedFakes,
        offered: list[str],
        origin: str | None,
        status: int,
        code: str,
    ) -> None:
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(
                served.socket_url,
                subprotocols=[Subprotocol(each) for each in offered] or None,
                origin=Origin(origin) if origin else None,
            ),
        ):
            pass
        response = refused.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"")["error"]["code"] == code
        assert response.headers["x-content-type-options"] == "nosniff"


def test_who_comes_through_a_proxy_on_this_machine_is_not_this_machine() -> None:
    """To the server the proxy is its peer; uvicorn believes it who the caller is."""
    with ServedFakes(FakeServer()) as served:
        answers = []
        for headers in ({}, {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "x, 10.0.0.1"}):
            connection = http.client.HTTPConnection(*served.address, timeout=WAIT_LIMIT_SEC)
            connection.request("GET", "/v1/models", headers=headers)
            answers.append(connection.getresponse().status)
            connection.close()
    assert answers == [200, 401, 401]


class TestLogs:
    def use(self, served: ServedFakes) -> None:
        """Keys in every place where one can be, right ones and wrong ones."""
        with OpenAI(base_url=served.url, api_key=KEY, max_retries=0) as client:
            client.audio.speech.create(model="tts-1", voice="alloy", input="Hi.")
        wrong = OpenAI(base_url=served.url, api_key=f"{KEY}x", max_retries=0)
        with wrong as client, pytest.raises(AuthenticationError):
            client.models.list()
        for key in (KEY, f"{KEY}x"):
            offered = [Subprotocol("orpheus"), Subprotocol(f"bearer.{key}")]
            try:
                with connect(served.socket_url, subprotocols=offered) as connection:
                    connection.send('{"type": "session.start"}')
                    connection.recv(WAIT_LIMIT_SEC)
            except InvalidStatus:
                assert key != KEY
        # No subprotocol may hold such characters.
        headers = {"Sec-WebSocket-Protocol": f"orpheus, bearer.{ODD_KEY}"}
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(served.socket_url, additional_headers=headers),
        ):
            pass
        assert refused.value.response.status_code == 400

    @staticmethod
    def of_the_server(caplog: pytest.LogCaptureFixture) -> str:
        """What the clients here log is not the server's."""
        return "\n".join(
            record.getMessage()
            for record in caplog.records
            if record.name.partition(".")[0] in ("orpheus_server", "uvicorn", "asyncio")
        )

    def test_no_key_at_any_level(
        self, served: ServedFakes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The library behind uvicorn's WebSocket logs every header at DEBUG."""
        caplog.set_level(logging.DEBUG)
        self.use(served)
        text = self.of_the_server(caplog)
        assert " caller=anna outcome=done " in text
        assert " caller=anna began" in text
        assert KEY not in text
        assert ODD_KEY not in text

    def test_a_refused_socket_is_no_error_of_the_server(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """uvicorn logged one for each, which anybody could have it do."""
        with (
            ServedFakes(keyed()) as served,
            pytest.raises(InvalidStatus),
            connect(served.socket_url),
        ):
            pass
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_nor_in_the_log_of_another_uvicorn(self, loggers: list[logging.Logger]) -> None:
        """`uvicorn --log-level debug` has set its own levels before the app is imported."""
        logging.getLogger("uvicorn.error").setLevel(logging.DEBUG)
        configure_logging(Settings(log_level="DEBUG"))
        assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.DEBUG)
        assert logging.getLogger("orpheus_server").isEnabledFor(logging.DEBUG)
