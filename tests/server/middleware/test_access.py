"""Who is served: every route against every kind of wrong key."""

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.app import create_app
from orpheus_server.errors import StartError
from orpheus_server.server.api_keys import parse_api_keys
from orpheus_server.server.middleware.access import (
    KEYLESS_PATHS,
    LIST_PATHS,
    AccessMiddleware,
    caller_of,
)
from orpheus_server.settings import Settings
from tests.support.app import ANY_BODY, FakeServer, call_by_hand
from tests.support.keyed import (
    ALL,
    GUARDED,
    HEADER,
    KEY,
    LISTS,
    ODD_KEY,
    STREAM,
    Headers,
    keyed,
    refused,
)

LOCAL_ONLY = (
    "This server has no keys and serves its own machine only. Set API_KEYS to give keys to "
    "callers, or ALLOW_UNAUTHENTICATED=true to serve everybody."
)
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


@pytest.fixture
def client() -> Iterator[TestClient]:
    with keyed().client() as client:
        yield client


class TestEveryRoute:
    def test_the_sweep_sees_them(self) -> None:
        """A route that is added is in it by itself."""
        assert {
            ("GET", "/docs"),
            ("GET", "/openapi.json"),
            ("GET", "/swagger/swagger-ui.css"),
            ("GET", "/v1/docs"),
            ("GET", "/v1/models"),
            ("HEAD", "/v1/models"),
            ("GET", "/v1/models/tts-1"),
            ("POST", "/audio/speech"),
            ("POST", "/v1/audio/speech"),
            ("WS", "/audio/stream"),
            ("WS", STREAM),
        } <= set(GUARDED)
        assert {path for _, path in ALL} - {path for _, path in GUARDED} == KEYLESS_PATHS

    @pytest.mark.anyio
    @pytest.mark.parametrize("kind", BAD_CREDENTIALS)
    @pytest.mark.parametrize("public_lists", [True, False])
    async def test_without_a_key_nothing(self, kind: str, public_lists: bool) -> None:
        app = keyed(public_lists=public_lists).build_app()
        others = [("GET", "/nothing"), ("BREW", "/v1/models"), ("POST", "/"), ("WS", "/nothing")]
        options = [("OPTIONS", "/v1/audio/speech"), ("OPTIONS", "/health"), ("DELETE", "/health")]
        assert len(GUARDED) > 15
        # Clients test a key by requesting a list with it.
        shows_key = BAD_CREDENTIALS[kind][:1] and BAD_CREDENTIALS[kind][0][0] == b"authorization"
        free = LISTS if public_lists and not shows_key else []
        for method, path in (*GUARDED, *others, *options):
            if (method, path) in free:
                continue
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

    @pytest.mark.parametrize("path", sorted(KEYLESS_PATHS))
    def test_free_ones(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 200
        assert client.head(path).status_code == 200

    def test_lists_are_free(self, client: TestClient) -> None:
        """Open WebUI requests both lists of audio without its key, and showed OpenAI's voices."""
        assert len(LISTS) == 12
        for method, path in LISTS:
            answer = client.request(method, path)
            assert answer.status_code == 200, (method, path)
        assert client.get("/v1/audio/voices").json()["voices"][0]["name"] == "rms"
        for path in sorted(LIST_PATHS):
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                assert client.request(method, path).status_code == 401, (method, path)

    def test_lists_are_free_from_any_address_by_any_name(self) -> None:
        with keyed().client(peer="10.0.0.1", host="tts.example") as client:
            assert client.get("/v1/audio/voices").status_code == 200

    def test_a_model_is_not_a_list(self, client: TestClient) -> None:
        for path in ("/v1/models/tts-1", "/models/x", "/v1/models/x/audio/voices", "/v1/docs"):
            assert client.get(path, follow_redirects=False).status_code == 401

    def test_pages_are_free(self, client: TestClient) -> None:
        """None of them is there yet."""
        for path in ("/web/", "/web/player.js"):
            assert client.get(path).json()["error"]["code"] == "not_found"
            assert client.post(path).status_code == 401

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
    def test_the_scheme_in_any_case(self, client: TestClient, scheme: str) -> None:
        headers = {"authorization": f"{scheme} {KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 200


def as_received(target: str, root: str = "") -> dict[str, Any]:
    """The parts of the scope that uvicorn makes from the path of a request line."""
    return {
        "path": root + unquote(target),
        "raw_path": (root + target).encode(),
        "root_path": root,
    }


async def routed(app: ASGIApp, **changes: Any) -> tuple[int, str | None]:
    """Returns the status of a GET without a key, and the path of the route that ran."""
    routes = []

    async def spy(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        routes.append(getattr(scope.get("route"), "path", None))

    sent = await call_by_hand(
        spy, asyncio.Queue[Message](), **{"method": "GET", "headers": [], **changes}
    )
    return sent[0]["status"], routes[0]


class TestPathTricks:
    """Targets as they stand in the request line, percent-encoded or not."""

    @pytest.mark.parametrize(
        "target",
        [
            *("", "//v1/models/tts-1", "/./v1/models", "/v1/../v1/models", "/V1/models"),
            *("/HEALTH", "/Health", "/health/x", "/health/./", "/health/.", "/./health"),
            *("/v1/%2e%2e/", "/v1/../", "/v1/models/../x", "/v1/models/..", "/v1/models/../../"),
            *("/health/../docs", "/health//..//docs", "//health/../docs/", "/health/%2e%2e/docs"),
            *("/health;/docs", "/health%3fx", "/health%23", "/health%2f", "/%2fhealth", "/%2f"),
            *("/health%2f/", "/%2f/health", "/health%2f%2f", "/%2e/health", "/health%252f"),
            *("/health%00", "/health%20", "%20/health", "/health%0a", "health", "v1/models"),
            *("/web", "/web%00", "/Web/x", "//web/", "//web", "///web//x", "/.//web/", "/%2fweb/"),
            *("/x/web/", "/v1/web/", "/v1/models/../../web/", "/docs/../web/", "/hea%C4%B1th"),
            *("http://127.0.0.1/health", "http:///health", "/v1/models/%2e%2e/health", "*"),
            *("%5cweb%5c", "/web%5c", "/%5cweb/x", "/v1/models%2f", "/v1%2fmodels%2f"),
            *("/v1/%2fmodels", "/audio%2f%2fvoices", "/v1/audio/voices/..", "/v1/models/%2f"),
            *("//docs", "/docs//", "/v1//docs/", "//openapi.json", "/metrics/", "//swagger//x"),
        ],
    )
    @pytest.mark.anyio
    async def test_only_what_is_listed_letter_by_letter(self, target: str) -> None:
        app = keyed().build_app()
        for changes in (as_received(target), as_received(target, "/tts")):
            status, error = await refused(app, "GET", headers=[], **changes)
            assert (status, error["code"]) == (401, "invalid_api_key")

    @pytest.mark.parametrize(
        ("target", "route"),
        [
            *(("//", "/"), ("///", "/"), ("/v1/", "/v1"), ("/v1//", "/v1"), ("//v1", "/v1")),
            *(("//health", "/health"), ("/health/", "/health"), ("/v1//ready//", "/v1/ready")),
            *(
                (target, "/v1/models")
                for target in ("//v1/models", "/v1//models/", "/%76%31//models")
            ),
            ("/audio//voices", "/audio/voices"),
            ("/v1/audio%2fvoices", "/v1/audio/voices"),
        ],
    )
    @pytest.mark.anyio
    async def test_slashes_do_not_change_what_is_free(self, target: str, route: str) -> None:
        app = keyed().build_app()
        async with app.router.lifespan_context(app):
            for changes in (as_received(target), as_received(target, "/tts")):
                assert await routed(app, **changes) == (200, route)

    @pytest.mark.anyio
    async def test_without_a_key_no_other_route_runs(self) -> None:
        """Whatever a path is made of, access decides on the path that is routed."""
        app = keyed().build_app()
        pieces = (
            "",
            ".",
            "..",
            "%2e%2e",
            "%2f",
            "v1",
            "health",
            "models",
            "audio",
            "voices",
            "docs",
        )
        targets = {
            "/" + "/".join(parts) for num in range(1, 4) for parts in product(pieces, repeat=num)
        }
        found = set()
        async with app.router.lifespan_context(app):
            for target in targets:
                for changes in (
                    *(as_received(target), as_received(target, "/v1/")),
                    {"path": unquote(target), "raw_path": b"/health", "root_path": "/health"},
                ):
                    found.add(await routed(app, **changes))
        # Nothing else is routed, not even to a 404.
        free = {path for path in KEYLESS_PATHS | LIST_PATHS if "ready" not in path}
        assert found == {(401, None), *((200, path) for path in free)}

    @pytest.mark.parametrize(
        "target",
        [
            *("/web/../v1/models", "/web/%2e%2e/v1/models", "/web//v1/models", "/web/v1/models"),
            *("/web/..%2fopenapi.json", "/web/../docs", "/web/%5c..%5cdocs", "/web//..//docs/"),
            *("/%77eb/../docs", "/web%2f..%2fdocs"),
        ],
    )
    @pytest.mark.anyio
    async def test_a_way_out_of_the_pages_leads_nowhere(self, target: str) -> None:
        app = keyed().build_app()
        async with app.router.lifespan_context(app):
            assert await routed(app, **as_received(target)) == (404, None)

    @pytest.mark.anyio
    async def test_behind_a_prefix(self) -> None:
        """The router leaves out what a proxy has put before the path, and so does this."""
        app = keyed().build_app()
        async with app.router.lifespan_context(app):
            for path, root, route in (
                *(("/tts/health", "/tts", "/health"), ("/tts//health/", "/tts", "/health")),
                # uvicorn with `--root-path /tts/`
                *(("/tts//health", "/tts/", "/health"), ("/tts///health/", "/tts/", "/health")),
                *(("/tts/", "/tts", "/"), ("/health", "/tts", "/health")),
                ("/tts/v1/models/", "/tts", "/v1/models"),
            ):
                changes = {"path": path, "raw_path": path.encode(), "root_path": root}
                assert await routed(app, **changes) == (200, route), (path, root)
        for path, root in (
            *(("/tts/docs", "/tts"), ("/health/docs", "/health"), ("/health", "/health")),
            *(("/web/docs", "/web"), ("/v1/models/tts-1", "/v1/models")),
        ):
            status, _ = await refused(app, "GET", path, [], root_path=root)
            assert status == 401, (path, root)

    @pytest.mark.anyio
    async def test_a_key_in_the_url_is_none(self) -> None:
        app = keyed().build_app()
        query = f"api_key={KEY}&token={KEY}".encode()
        for method, path in (("GET", "/docs"), ("WS", STREAM)):
            status, _ = await refused(app, method, path, [], query_string=query)
            assert status == 401


class TestWithoutKeys:
    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
    @pytest.mark.parametrize(
        "host",
        [
            *("localhost:8880", "127.0.0.1", "[::1]:8880", "x.localhost"),
            # A container that calls the machine it runs on.
            *("host.docker.internal:8880", "Host.Docker.Internal", "host.containers.internal"),
        ],
    )
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
            assert [client.get(path).status_code for path in sorted(KEYLESS_PATHS)] == [200] * 6

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
    async def test_the_name_of_a_container_host_needs_a_loopback_peer(self) -> None:
        app = FakeServer().build_app()
        headers = [(b"host", b"host.docker.internal:8880")]
        for method, path in (("GET", "/v1/models"), ("WS", STREAM)):
            status, error = await refused(app, method, path, headers, client=("172.17.0.2", 1))
            assert (status, error["message"]) == (401, LOCAL_ONLY)

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "host",
        [
            *("tts.example", "localhost.evil:8880", "127.0.0.1.evil", ""),
            *(
                "host.docker.internal.evil",
                "x.host.docker.internal",
                "docker.internal",
                "x.internal",
            ),
        ],
    )
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
            assert client.get("/docs").status_code == 401
            assert client.get("/docs", headers=HEADER).status_code == 200

    def test_with_a_key_any_address_and_any_name(self) -> None:
        with keyed().client(peer="10.0.0.1", host="tts.example") as client:
            assert client.get("/docs", headers=HEADER).status_code == 200


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
    access = AccessMiddleware(app, keys=api_keys, is_open=True, has_public_lists=True, origins=())
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
