"""Parsing of origins, and same-origin and local-host checks."""

import pytest

from orpheus_server.errors import StartError
from orpheus_server.server.origins import is_local_host, is_same_origin, parse_origins


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("https://a.example", ("https://a.example",)),
            ("https://A.Example:443 , http://b:80", ("https://a.example", "http://b")),
            ("http://127.0.0.1:3000", ("http://127.0.0.1:3000",)),
            ("http://[::1]:3000,https://a:80", ("http://[::1]:3000", "https://a:80")),
            ("https://a.example,https://a.example:443", ("https://a.example",)),
            ("app://obsidian.md, Tauri://localhost", ("app://obsidian.md", "tauri://localhost")),
            ("capacitor://localhost:8080", ("capacitor://localhost:8080",)),
            ("web+app.x-1://a", ("web+app.x-1://a",)),
            # The default port is that of the scheme.
            ("app://a:80", ("app://a:80",)),
            *(
                (origin, (origin,))
                for origin in (
                    "chrome-extension://fmkadmapgofadopljbjfkapdkoienihi",
                    "moz-extension://6f3a9b1e-1c2d-4e5f-8a9b-0c1d2e3f4a5b",
                )
            ),
        ],
    )
    def test_origins_become_what_browsers_send(self, text: str, expected: tuple[str, ...]) -> None:
        assert parse_origins(text) == expected

    @pytest.mark.parametrize(
        "entry",
        [
            *("", "null", "a.example", "//a.example", "ws://a.example", "file://", "https://"),
            *("https://a.example/", "https://a.example/x", "https://a.example?x", "https://a b"),
            *("https://*.example", "https://anna@a.example", "https://a.example:", "https://a:0"),
            *("https://a:65536", "https://ä.example", "https://a.example#x", "https://-a.example"),
            *("file://a.example", "file:///srv/page.html", "app://", "app:obsidian.md", "app://*"),
            *("app://obsidian.md/", "1app://a", "a b://a", "*://a.example", "wss://a.example"),
            *("data:text/html", "://a", "null://", "app://anna@a", "app://a:x"),
        ],
    )
    def test_invalid_origins_are_rejected(self, entry: str) -> None:
        with pytest.raises(StartError) as caught:
            parse_origins(f"https://b.example,{entry}")
        assert str(caught.value).startswith(f"CORS_ORIGINS={entry!r}: must be origins such as ")

    def test_a_wildcard_is_rejected_with_a_reason(self) -> None:
        with pytest.raises(StartError, match=r"CORS_ORIGINS='\*': name the origins; '\*' would"):
            parse_origins("*")


@pytest.mark.parametrize(
    ("origin", "host", "is_secure", "expected"),
    [
        ("http://a.example", "a.example", False, True),
        ("http://a.example", "A.example:80", False, True),
        ("http://a.example:8880", "a.example:8880", False, True),
        ("http://[::1]:8880", "[::1]:8880", False, True),
        # A proxy in front of the server has terminated TLS.
        ("https://a.example", "a.example", False, True),
        ("https://a.example", "a.example", True, True),
        ("https://a.example", "a.example:443", True, True),
        ("http://a.example", "a.example", True, False),
        ("http://a.example", "a.example:8880", False, False),
        ("http://a.example:8880", "a.example", False, False),
        ("http://a.example.evil", "a.example", False, False),
        ("http://evil", "a.example", False, False),
        ("http://a.example/", "a.example", False, False),
        ("ws://a.example", "a.example", False, False),
        ("app://a.example", "a.example", False, False),
        ("chrome-extension://a.example", "a.example", False, False),
        *((origin, "a.example", False, False) for origin in ("null", "", "file://", "http://")),
        ("http://", "", False, False),
        ("http://a.example", "a.example@evil", False, False),
    ],
)
def test_same_origin(origin: str, host: str, is_secure: bool, expected: bool) -> None:
    assert is_same_origin(origin, host, is_secure=is_secure) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "localhost:8880", "LOCALHOST", "a.b.localhost:1")),
        *((host, True) for host in ("127.0.0.1", "127.0.0.1:8880", "10.1.2.3", "[::1]:80")),
        *((host, False) for host in ("", "a.example", "localhost.evil", "notlocalhost", "[]")),
        *((host, False) for host in ("127.0.0.1.evil", "127.1", "2130706433", "0x7f000001", ":80")),
        *((host, False) for host in ("localhost:x", "localhost:1:2", "::1", "a@localhost")),
        *((host, True) for host in ("host.docker.internal", "HOST.docker.internal:8880")),
        *((host, True) for host in ("host.containers.internal",)),
        *((host, False) for host in ("docker.internal", "a.host.docker.internal", ".internal")),
        *((host, False) for host in ("host.docker.internal.evil", "hosts.docker.internal")),
        *((host, False) for host in ("host.docker.internal.", "host-docker.internal")),
        *((host, False) for host in ("localhost/", " localhost", "localhost,evil", ".localhost")),
    ],
)
def test_local_host(host: str, expected: bool) -> None:
    assert is_local_host(host) == expected
