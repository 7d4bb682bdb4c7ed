"""Who is served: every route against every kind of wrong key, and what browsers are made to do."""

import asyncio
import base64
import http.client
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from openai import AuthenticationError, OpenAI
from pydantic import SecretStr
from starlette.routing import BaseRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Scope
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from orpheus_server.app import create_app
from orpheus_server.chat.echo import EchoModel
from orpheus_server.errors import StartError
from orpheus_server.server.api_keys import parse_api_keys
from orpheus_server.server.logs import configure_logging
from orpheus_server.server.middleware.access import FREE_PATHS, AccessMiddleware, caller_of
from orpheus_server.settings import Settings
from tests.support.app import ANY_BODY, WAIT_LIMIT_SEC, FakeServer, call_by_hand
from tests.support.served import ServedFakes

KEY, ODD_KEY = "sk-Secret.0123456789", "odd(key)/with@signs=="
HEADER = {"authorization": f"Bearer {KEY}"}
STREAM = "/v1/audio/stream"
DENIAL: dict[str, Any] = {"websocket.http.response": {}}
LOCAL_ONLY = (
    "This server has no keys and serves its own machine only. Set API_KEYS to give keys to "
    "callers, or ALLOW_UNAUTHENTICATED=true to serve everybody."
)

Headers = list[tuple[bytes, bytes]]
BAD_CREDENTIALS: dict[str, Headers] = {
    "none": [],
    "no token": [(b"authorization", b"Bearer")],
    "an empty token": [(b"authorization", b"Bearer ")],
    "another scheme": [(b"authorization", b"Basic x")],
    "no scheme": [(b"authorization", KEY.encode())],
    "wrong": [(b"authorization", b"Bearer wrong-key")],
    "the beginning": [(b"authorization", f"Bearer {KEY[:-1]}".encode())],
    "and more": [(b"authorization", f"Bearer {KEY}x".encode())],
    "a space behind": [(b"authorization", f"Bearer {KEY} ".encode())],
    "a tab before": [(b"authorization", f"Bearer\t{KEY}".encode())],
    "its name": [(b"authorization", b"Bearer anna")],
    "two": [(b"authorization", f"Bearer {KEY}".encode())] * 2,
    "long": [(b"authorization", b"Bearer " + b"x" * 100_000)],
    "not ASCII": [(b"authorization", b"Bearer \xff\xfe\x00")],
    "in a cookie": [(b"cookie", f"key={KEY}".encode())],
    "in another header": [(b"x-api-key", KEY.encode())],
}


def keyed(**settings: Any) -> FakeServer:
    keys = SecretStr(f"anna:{KEY},ben:{ODD_KEY}")
    return FakeServer(settings=Settings(api_keys=keys, **settings), chat=EchoModel())


@pytest.fixture
def client() -> Iterator[TestClient]:
    with keyed().client() as client:
        yield client


def leaves(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(route, "routes", None)
        yield from leaves(inner) if inner else (route,)


def all_requests(app: FastAPI) -> list[tuple[str, str]]:
    """Method (WS for a WebSocket) and path of every route, with something in its parameters."""
    found = set()
    for route in leaves(app.routes):
        path = re.sub(r"\{model.*?\}", "tts-1", str(getattr(route, "path", "")))
        path = path.replace("{name}", "swagger-ui.css").replace("{path:path}", "none")
        assert "{" not in path
        for method in getattr(route, "methods", None) or {"WS"}:
            found.add((method, path))
    return sorted(found)


ALL = all_requests(keyed().build_app())
GUARDED = [
    (method, path) for method, path in ALL if not (path in FREE_PATHS and method in ("GET", "HEAD"))
]


async def refused(app: FastAPI, method: str, path: str, headers: Headers, **changes: Any) -> Any:
    """Status and error of a request whose body never comes; the refusal must not wait for it."""
    if method == "WS":
        changes = {"type": "websocket", "scheme": "ws", "subprotocols": [], **changes}
        changes.setdefault("extensions", DENIAL)
    async with asyncio.timeout(WAIT_LIMIT_SEC):
        sent = await call_by_hand(
            app,
            asyncio.Queue[Message](),
            **{"method": method, "path": path, "headers": headers, **changes},
        )
    kinds = [message["type"].removeprefix("websocket.") for message in sent]
    assert kinds == ["http.response.start", "http.response.body"]
    answer = dict(sent[0]["headers"])
    assert answer[b"content-type"] == b"application/json"
    assert answer[b"connection"] == b"close"
    assert answer[b"x-should-retry"] == b"false"
    if method != "WS":
        assert answer[b"x-request-id"].startswith(b"req_")
    if sent[0]["status"] == 401:
        assert answer[b"www-authenticate"] == b"Bearer"
    error = json.loads(sent[1]["body"])["error"]
    assert KEY not in error["message"]
    return sent[0]["status"], error


class TestEveryRoute:
    def test_the_sweep_sees_them(self) -> None:
        """A route that is added is in it by itself."""
        assert {
            ("GET", "/docs"),
            ("GET", "/openapi.json"),
            ("GET", "/swagger/swagger-ui.css"),
            ("GET", "/v1/docs"),
            ("GET", "/v1/models/tts-1"),
            ("POST", "/audio/speech"),
            ("POST", "/v1/audio/speech"),
            ("WS", "/audio/stream"),
            ("WS", STREAM),
        } <= set(GUARDED)
        assert {path for _, path in ALL} - {path for _, path in GUARDED} == FREE_PATHS

    @pytest.mark.anyio
    @pytest.mark.parametrize("kind", BAD_CREDENTIALS)
    async def test_without_a_key_nothing(self, kind: str) -> None:
        app = keyed().build_app()
        others = [("GET", "/nothing"), ("BREW", "/v1/models"), ("POST", "/"), ("WS", "/nothing")]
        options = [("OPTIONS", "/v1/audio/speech"), ("OPTIONS", "/health"), ("DELETE", "/health")]
        assert len(GUARDED) > 15
        for method, path in (*GUARDED, *others, *options):
            status, error = await refused(app, method, path, BAD_CREDENTIALS[kind])
            assert (status, error["type"], error["code"], error["param"]) == (
                *(401, "invalid_request_error", "invalid_api_key"),
                None,
            ), (method, path)
            assert "'Authorization: Bearer '" in error["message"]

    def test_with_a_key_everything(self, client: TestClient) -> None:
        for key in (KEY, ODD_KEY):
            for method, path in ALL:
                headers = {"authorization": f"Bearer {key}"}
                if (method, path) == ("WS", "/none"):
                    continue
                if method == "WS":
                    with client.websocket_connect(path, headers=headers) as socket:
                        assert socket.accepted_subprotocol is None
                    continue
                body = ANY_BODY if method == "POST" else None
                query = {"prompt": "Hi."} if path.endswith("/tts") else None
                answer = client.request(method, path, headers=headers, json=body, params=query)
                assert answer.status_code == 200, (method, path)

    @pytest.mark.parametrize("path", sorted(FREE_PATHS))
    def test_free_ones(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 200
        assert client.head(path).status_code in (200, 405)

    def test_pages_are_free(self, client: TestClient) -> None:
        """None of them is there yet."""
        for path in ("/web/", "/web/player.js"):
            assert client.get(path).json()["error"]["code"] == "not_found"
            assert client.post(path).status_code == 401

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
    def test_the_scheme_in_any_case(self, client: TestClient, scheme: str) -> None:
        headers = {"authorization": f"{scheme} {KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 200


class TestPathTricks:
    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "path",
        [
            *(
                "",
                "//",
                "//health",
                "//v1/models",
                "/./v1/models",
                "/v1/../v1/models",
                "/V1/models",
            ),
            *("/v1//", "/HEALTH", "/Health", "/health/", "/ready/", "/v1/health/", "/health/x"),
            *(
                "/health/../v1/models",
                "/health;/v1/models",
                "/health?x",
                "/health%2f",
                "/%2e/health",
            ),
            *(
                "/health\0",
                "/health ",
                " /health",
                "/health\n",
                "/web",
                "/web%2f",
                "/Web/x",
                "//web/",
            ),
            *("/x/web/", "/v1/web/", "/v1/models/../../web/", "/docs/../web/", "/hea\u0131th", "*"),
            *("http://127.0.0.1/health", "/v1/models/%2e%2e/health", "\\web\\", "/web\\"),
        ],
    )
    async def test_only_what_is_listed_letter_by_letter(self, path: str) -> None:
        status, error = await refused(keyed().build_app(), "GET", path, [])
        assert (status, error["code"]) == (401, "invalid_api_key")

    @pytest.mark.parametrize(
        "path",
        [
            *("/web/../v1/models", "/web/%2e%2e/v1/models", "/web//v1/models", "/web/v1/models"),
            *("/web/..%2fopenapi.json", "/web/../docs", "/web/\\..\\docs"),
        ],
    )
    @pytest.mark.anyio
    async def test_a_way_out_of_the_pages_leads_nowhere(self, path: str) -> None:
        server = keyed()
        app = server.build_app()
        async with app.router.lifespan_context(app):
            for each in (path, path.replace("%2e", ".").replace("%2f", "/")):
                sent = await call_by_hand(
                    app, asyncio.Queue[Message](), method="GET", path=each, headers=[]
                )
                assert sent[0]["status"] == 404

    @pytest.mark.anyio
    async def test_behind_a_prefix(self) -> None:
        """The router leaves out what a proxy has put before the path, and so does this."""
        app = keyed().build_app()
        async with app.router.lifespan_context(app):
            free = await call_by_hand(
                app,
                asyncio.Queue[Message](),
                **{"method": "GET", "path": "/tts/health", "root_path": "/tts", "headers": []},
            )
        assert free[0]["status"] == 200
        for path, root in (("/tts/v1/models", "/tts"), ("/health/v1/models", "/health")):
            status, _ = await refused(app, "GET", path, [], root_path=root)
            assert status == 401

    @pytest.mark.anyio
    async def test_a_key_in_the_url_is_none(self) -> None:
        app = keyed().build_app()
        query = f"api_key={KEY}&token={KEY}".encode()
        for method, path in (("GET", "/v1/models"), ("WS", STREAM)):
            status, _ = await refused(app, method, path, [], query_string=query)
            assert status == 401


class TestWithoutKeys:
    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
    @pytest.mark.parametrize("host", ["localhost:8880", "127.0.0.1", "[::1]:8880", "x.localhost"])
    def test_this_machine_is_served(self, peer: str, host: str) -> None:
        with FakeServer().client(peer=peer, host=host) as client:
            assert client.get("/v1/models").status_code == 200
            with client.websocket_connect(STREAM):
                pass

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "peer",
        ["10.0.0.1", "192.168.1.2", "0.0.0.0", "fe80::1", "::ffff:10.0.0.1", "127.0.0.1.evil"],
    )
    async def test_others_are_told_both_ways(self, peer: str) -> None:
        app = FakeServer().build_app()
        for method, path in GUARDED:
            headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer something")]
            status, error = await refused(app, method, path, headers, client=(peer, 1))
            assert (status, error["code"]) == (401, "invalid_api_key")
            assert error["message"] == LOCAL_ONLY

    def test_health_is_for_everybody(self) -> None:
        with FakeServer().client(peer="10.0.0.1", host="tts.example") as client:
            assert [client.get(path).status_code for path in sorted(FREE_PATHS)] == [200] * 7

    @pytest.mark.anyio
    async def test_a_unix_socket_is_this_machine(self) -> None:
        app = FakeServer().build_app()
        async with app.router.lifespan_context(app):
            sent = await call_by_hand(
                app,
                asyncio.Queue[Message](),
                **{
                    **{"method": "GET", "path": "/v1/models", "client": None, "headers": []},
                    "server": ("/run/orpheus.sock", None),
                },
            )
        assert sent[0]["status"] == 200

    @pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
    def test_what_came_through_a_proxy_is_not(self, name: str) -> None:
        """With FORWARDED_ALLOW_IPS=* a stranger was this machine by writing 127.0.0.1 there."""
        with FakeServer().client() as client:
            answer = client.get("/v1/models", headers={name: "127.0.0.1"})
            assert answer.status_code == 401
            assert "API_KEYS" in answer.json()["error"]["message"]
            assert client.get("/health", headers={name: "127.0.0.1"}).status_code == 200

    @pytest.mark.anyio
    @pytest.mark.parametrize("host", ["tts.example", "localhost.evil:8880", "127.0.0.1.evil", ""])
    async def test_a_name_that_anybody_can_point_here(self, host: str) -> None:
        """A page at that name could read every answer: to its browser they are its own."""
        app = FakeServer().build_app()
        for method, path in GUARDED:
            status, error = await refused(app, method, path, [(b"host", host.encode())])
            assert (status, error["type"], error["code"]) == (
                *(403, "permission_error"),
                "host_not_allowed",
            )
        both = [(b"host", b"localhost"), (b"host", host.encode())]
        assert (await refused(app, "GET", "/docs", both))[0] == 403

    def test_everybody_if_that_is_asked_for(self) -> None:
        server = FakeServer(settings=Settings(allow_unauthenticated=True))
        with server.client(peer="10.0.0.1", host="tts.example") as client:
            assert client.get("/v1/models").status_code == 200
            with client.websocket_connect(STREAM):
                pass

    def test_keys_win(self) -> None:
        with keyed(allow_unauthenticated=True).client() as client:
            assert client.get("/v1/models").status_code == 401
            assert client.get("/v1/models", headers=HEADER).status_code == 200

    def test_with_a_key_any_address_and_any_name(self) -> None:
        with keyed().client(peer="10.0.0.1", host="tts.example") as client:
            assert client.get("/v1/models", headers=HEADER).status_code == 200


class TestOrigin:
    @pytest.mark.parametrize("server", [keyed(), FakeServer()], ids=["keys", "no keys"])
    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "", "http://127.0.0.1:81", "http://localhost"]
    )
    def test_a_page_from_elsewhere_opens_no_socket(self, server: FakeServer, origin: str) -> None:
        """Browsers let any page open a WebSocket to any server: nothing but the server asks."""
        with (
            server.client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(STREAM, headers={**HEADER, "origin": origin}),
        ):
            pass
        assert denied.value.status_code == 403
        error = denied.value.json()["error"]
        assert (error["type"], error["code"]) == ("permission_error", "origin_not_allowed")

    @pytest.mark.parametrize(
        "origin", ["http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:80"]
    )
    def test_a_page_from_here_does(self, origin: str) -> None:
        with (
            FakeServer().client() as client,
            client.websocket_connect(STREAM, headers={"origin": origin}),
        ):
            pass

    def test_and_one_that_is_listed(self) -> None:
        server = keyed(cors_origins="https://a.example,http://b.example:3000")
        with server.client() as client:
            for origin in ("https://a.example", "http://b.example:3000"):
                with client.websocket_connect(STREAM, headers={**HEADER, "origin": origin}):
                    pass
            headers = {**HEADER, "origin": "http://a.example"}
            with (
                pytest.raises(WebSocketDenialResponse),
                client.websocket_connect(STREAM, headers=headers),
            ):
                pass

    @pytest.mark.anyio
    async def test_two_origins_are_both_looked_at(self) -> None:
        pair = [(b"origin", b"http://127.0.0.1"), (b"origin", b"http://evil.example")]
        headers = [(b"host", b"127.0.0.1"), *pair]
        assert (await refused(FakeServer().build_app(), "WS", STREAM, headers))[0] == 403


class TestCors:
    PREFLIGHT = {
        "origin": "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }

    @pytest.fixture
    def shared(self) -> Iterator[TestClient]:
        with keyed(cors_origins="https://a.example").client() as client:
            yield client

    def test_a_preflight_needs_no_key(self, shared: TestClient) -> None:
        answer = shared.options("/v1/audio/speech", headers=self.PREFLIGHT)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"
        assert answer.headers["x-request-id"].startswith("req_")

    def test_one_of_another_page_allows_nothing(self, shared: TestClient) -> None:
        headers = {**self.PREFLIGHT, "origin": "https://evil.example"}
        answer = shared.options("/v1/audio/speech", headers=headers)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers

    def test_a_page_can_read_answers_and_refusals(self, shared: TestClient) -> None:
        for key, status in ((HEADER, 200), ({}, 401)):
            answer = shared.get("/v1/models", headers={**key, "origin": "https://a.example"})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "https://a.example"
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
        answer = shared.get("/v1/models", headers={**HEADER, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers

    def test_what_speech_says_in_its_headers_can_be_read(self, shared: TestClient) -> None:
        answer = shared.post(
            "/v1/audio/speech",
            headers={**HEADER, "origin": "https://a.example"},
            json={"input": "Hi.", "instructions": "Sing."},
        )
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert [name for name in answer.headers if name.startswith("x-orpheus-")] == [
            "x-orpheus-ignored-fields",
            "x-orpheus-queue-ms",
        ]
        assert [name for name in exposed if name.startswith("x-orpheus-")] == [
            "x-orpheus-degraded-chunks",
            "x-orpheus-dropped-symbols",
            "x-orpheus-dropped-tags",
            "x-orpheus-ignored-fields",
            "x-orpheus-nothing-to-speak",
            "x-orpheus-queue-ms",
        ]

    @pytest.mark.parametrize("headers", [{}, PREFLIGHT])
    def test_without_the_setting_options_is_a_method_like_others(
        self, client: TestClient, headers: dict[str, str]
    ) -> None:
        assert client.options("/v1/audio/speech", headers=headers).status_code == 401
        answer = client.options("/v1/audio/speech", headers={**HEADER, **headers})
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_bare_options_with_the_setting(self, shared: TestClient) -> None:
        assert shared.options("/v1/audio/speech").status_code == 401


def bearer64(key: str) -> str:
    return "bearer64." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class TestHandshake:
    @pytest.mark.parametrize(
        "offered",
        [
            ["orpheus", f"bearer.{KEY}"],
            [f"bearer.{KEY}", "other", "orpheus"],
            ["orpheus", bearer64(KEY)],
            ["orpheus", bearer64(ODD_KEY)],
        ],
    )
    def test_a_key_as_a_subprotocol(self, client: TestClient, offered: list[str]) -> None:
        with client.websocket_connect(STREAM, subprotocols=offered) as socket:
            assert socket.accepted_subprotocol == "orpheus"

    @pytest.mark.parametrize(
        "offered",
        [
            ["orpheus"],
            ["orpheus", KEY],
            ["orpheus", "bearer."],
            ["orpheus", "bearer"],
            ["orpheus", "bearer.wrong-key"],
            ["orpheus", f"Bearer.{KEY}"],
            ["orpheus", "bearer64.***"],
            ["orpheus", "bearer64._w"],
            ["orpheus", f"bearer64.{KEY}"],
            ["orpheus", f"bearer.{KEY}", f"bearer.{KEY}"],
            ["orpheus", f"bearer.{KEY}", "bearer64.***"],
        ],
    )
    def test_what_is_none(self, client: TestClient, offered: list[str]) -> None:
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(STREAM, subprotocols=offered),
        ):
            pass
        assert denied.value.status_code == 401
        assert denied.value.json()["error"]["code"] == "invalid_api_key"
        assert "sec-websocket-protocol" not in denied.value.headers

    def test_the_header_goes_first(self, client: TestClient) -> None:
        offered = ["orpheus", f"bearer.{KEY}"]
        with (
            pytest.raises(WebSocketDenialResponse),
            client.websocket_connect(
                STREAM, subprotocols=offered, headers={"authorization": "Bearer wrong"}
            ),
        ):
            pass

    def test_a_subprotocol_is_no_key_for_http(self, client: TestClient) -> None:
        headers = {"sec-websocket-protocol": f"orpheus, bearer.{KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 401

    @pytest.mark.anyio
    async def test_a_server_that_cannot_answer_it_closes(self) -> None:
        sent = await call_by_hand(
            keyed().build_app(),
            asyncio.Queue[Message](),
            **{"type": "websocket", "path": STREAM, "subprotocols": [], "headers": []},
        )
        assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("keys", "headers", "client", "caller"),
    [
        (f"anna:{KEY}", [(b"authorization", f"Bearer {KEY}".encode())], ("10.0.0.1", 1), "anna"),
        (KEY, [(b"authorization", f"Bearer {KEY}".encode())], None, "key1"),
        (None, [], ("10.0.0.1", 1), "10.0.0.1"),
        (None, [], ("::ffff:10.0.0.1", 1), "10.0.0.1"),
        (None, [], ("2001:DB8:0::1", 1), "2001:db8::1"),
        # One who hung up before anybody asked for its address, not a Unix socket.
        (None, [], None, "unknown"),
        (None, [], ("::1%hello user text", 1), "unknown"),
        # From a proxy's header, which may hold anything.
        (None, [], ("a\nline", 1), "unknown"),
    ],
)
async def test_the_callers_name(
    keys: str | None, headers: Headers, client: tuple[str, int] | None, caller: str
) -> None:
    names: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        names.append(caller_of(scope))

    api_keys = parse_api_keys(keys) if keys else None
    access = AccessMiddleware(app, keys=api_keys, is_open=True, origins=())
    for path in ("/v1/models", STREAM):
        await call_by_hand(
            access,
            asyncio.Queue[Message](),
            **{"method": "GET", "path": path, "headers": headers, "client": client},
        )
    assert names == [caller, caller]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_keys": SecretStr("SECRET")}, r"^API_KEYS=\(hidden\), entry 1: a key has at least 8"),
        ({"cors_origins": "*"}, r"^CORS_ORIGINS='\*'"),
    ],
)
def test_bad_settings_stop_it_before_anything_is_loaded(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(StartError, match=message):
        create_app(Settings(**settings))


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
