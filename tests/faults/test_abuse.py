"""Abusive and malformed requests to a real server."""

import base64
import gzip
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.faults.callers import SPEECH, Answer, connect, exchange, head, is_speech, pcm
from tests.faults.conftest import Record
from tests.faults.fault_server import ANNA, BOOK, SECRET_WORD, SENTENCE, FaultServer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

Headers = list[tuple[str, str]]
GUARDED = [
    *(("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/metrics"), ("HEAD", "/metrics")),
    *(("GET", "/v1/models/tts-1"), ("GET", "/v1/models/a%2Fb"), ("GET", "/v1//docs/")),
    *(("POST", SPEECH), ("POST", "/audio/speech"), ("POST", f"{SPEECH}/"), ("POST", f"/{SPEECH}")),
    *(("GET", "/V1/models"), ("GET", "/%761/models/x"), ("GET", "/%2e/v1/models")),
    *(("GET", "/health/../docs"), ("GET", "//health/%2e%2e//docs"), ("GET", "/%2Fhealth")),
    *(("OPTIONS", SPEECH), ("DELETE", "/v1/models"), ("GET", "/nothing"), ("GET", "/health/x")),
]
BAD_KEYS: dict[str, Headers] = {
    "none": [],
    "no token": [("Authorization", "Bearer")],
    "another scheme": [("Authorization", "Basic x")],
    "wrong": [("Authorization", "Bearer wrong-key")],
    "and more": [("Authorization", f"Bearer {ANNA} x")],
    "two": [("Authorization", f"Bearer {ANNA}")] * 2,
    "100 KB": [("Authorization", "Bearer " + "x" * 100_000)],
}
UPGRADE: Headers = [
    *(("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")),
    ("Sec-WebSocket-Key", base64.b64encode(b"0123456789abcdef").decode()),
]
STREAM = "/v1/audio/stream"
KEY: Headers = [("Authorization", f"Bearer {ANNA}"), ("Connection", "close")]
JSON_TYPE: Headers = [*KEY, ("Content-Type", "application/json")]
TOO_LARGE: Headers = [("Content-Length", str(10**9))]


def post(server: FaultServer, body: bytes, headers: Headers | None = None) -> Answer:
    own_headers = JSON_TYPE if headers is None else headers
    request = head("POST", SPEECH, [*own_headers, ("Content-Length", str(len(body)))])
    return exchange(server.port, (request, body), method="POST")


def test_bad_keys(server: FaultServer, record: Record) -> None:
    with record(
        server, "1", f"{len(GUARDED)} routes and a WebSocket x {len(BAD_KEYS)} bad keys"
    ) as case:
        for kind, headers in BAD_KEYS.items():
            expected = {400, 431} if kind == "100 KB" else {401}
            for method, path in GUARDED:
                request = head(method, path, [*headers, ("Connection", "close")])
                answer = exchange(server.port, request, method=method)
                case.saw(str(answer.status))
                assert answer.status in expected, (kind, method, path)
                assert answer.headers["x-request-id"].startswith("req_")
                if answer.status == 401:
                    assert answer.headers["www-authenticate"] == "Bearer"
                    if method != "HEAD":
                        assert answer.error["code"] == "invalid_api_key"
            answer = exchange(server.port, head("GET", STREAM, [*headers, *UPGRADE]))
            case.saw(f"WebSocket {answer.status}")
            assert answer.status in expected, kind
        preflight = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")]
        answer = exchange(server.port, head("OPTIONS", SPEECH, preflight), method="OPTIONS")
        assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
        assert not any(name.startswith("access-control") for name in answer.headers)
        unread = head("POST", SPEECH, [("Authorization", "Bearer wrong"), *TOO_LARGE])
        answer = exchange(server.port, unread, method="POST")
        case.note(f"1 GB announced with a bad key: {answer.summary} after {answer.total_sec:.3f} s")
        assert (answer.status, answer.headers["connection"]) == (401, "close")


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "cut off": b'{"input": "Hello',
    "a list": b"[]",
    "null": b"null",
    "NaN": b'{"input": "Hello.", "speed": NaN}',
    "Infinity": b'{"input": "Hello.", "speed": Infinity}',
    "deep": b"[" * 100_000,
    "deep inside": b'{"input": ' + b"[" * 100_000,
    "no UTF-8": b'{"input": "\xff\xfe"}',
    "a lone surrogate": b'{"input": "\\ud800"}',
    "a zero": b'{"input": "\\u0000"}',
}


def test_broken_json(server: FaultServer, record: Record) -> None:
    with record(server, "2", f"{len(BROKEN) + 4} broken bodies") as case:
        for kind, body in BROKEN.items():
            answer = post(server, body)
            case.saw(answer)
            assert answer.status == 400, kind
            assert len(answer.body) < 2048
            assert not any(part in answer.error["message"] for part in (".py", "/usr", "\n")), kind
        for headers in ([*KEY, ("Content-Type", "text/plain")], KEY):
            answer = post(server, b'{"input": "Hello."}', headers)
            case.saw(answer)
            assert answer.status == 415
        bomb = gzip.compress(b" " * 10**8)
        answer = post(server, bomb, [*JSON_TYPE, ("Content-Encoding", "gzip")])
        case.saw(answer)
        assert answer.status == 415
        twice = json.dumps({"voice": "leo"})[:-1] + f', "input": "A.", "input": "{SENTENCE}"}}'
        answer = post(server, twice.encode())
        case.saw(answer)
        assert answer.status in (200, 400)
        case.note(f"memory {case.grown_mb:+.1f} MB at most")


def test_bad_parameters_and_odd_texts(server: FaultServer, record: Record) -> None:
    bad: list[dict[str, Any]] = [
        *({"speed": value} for value in (0, -1, 1e308, "1", True)),
        *({name: 1e9} for name in ("temperature", "top_p", "top_k", "min_p", "max_tokens")),
        *({"input": text} for text in ("", " \t\n\u3000", "\U0001f600\U0001f389", None, 5)),
        *({"voice": "nobody"}, {"model": "gpt-9"}, {"response_format": "midi"}, {"seed": 2**70}),
    ]
    odd = {
        "astral": "\U0001d56e\U0001d585 " * 500,
        "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 " * 300,
        "combining marks": "a" + "\u0301" * 4096,
        "one word": "a" * 4096,
    }
    with record(server, "3", "parameters out of range; texts of all kinds") as case:
        for fields in bad:
            answer = server.ask(**fields)
            case.saw(answer)
            assert answer.status in (400, 404), fields
            assert answer.error["param"] == next(iter(fields))
        answer = server.ask(input=BOOK + "a")
        case.saw(answer)
        assert (answer.error["code"], answer.error["param"]) == ("string_above_max_length", "input")
        with server.listen(input=BOOK) as longest:
            assert longest.take(10_000) == 10_000
            case.saw("32768 characters begin to sound")
        for kind, text in odd.items():
            answer = server.ask(input=text)
            case.note(f"{kind}: {answer.summary} after {answer.total_sec:.1f} s")
            assert answer.status in (200, 400)
            assert answer.total_sec < 30


def test_control_tokens_in_texts(server: FaultServer, record: Record) -> None:
    """A single id outside the vocabulary killed the engine for all requests."""
    marks = "<custom_token_5> <|audio|> <|eot_id|> <|begin_of_text|> <s> </s> [UNK] <unk> <pad>"
    texts = [marks, f"{marks} {SENTENCE}", f"<|eot_id|>{SENTENCE}<custom_token_{10**7}>"]
    core = server.core().pid
    with (
        record(server, "4", "texts with the model's own tokens beside 8 listeners") as case,
        ThreadPoolExecutor(16) as callers,
    ):
        listeners = [
            callers.submit(server.ask_patiently, input=f"{SENTENCE} " * 3) for _ in range(8)
        ]
        poison = [callers.submit(server.ask_patiently, input=text) for text in texts * 4]
        for each in poison:
            case.saw(each.result())
            assert each.result().status in (200, 400)
        for each in listeners:
            answer = each.result()
            assert (answer.status, answer.is_whole) == (200, True), answer.summary
            assert is_speech(pcm(answer.body), 5, 15)
        assert server.core().pid == core
        case.note("8 listeners whole, engine process the same")


def test_huge_and_endless_bodies(server: FaultServer, record: Record) -> None:
    num_sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal num_sent
        yield head("POST", SPEECH, [*JSON_TYPE, ("Transfer-Encoding", "chunked")])
        piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        while num_sent < 10**9:
            yield piece
            num_sent += len(piece)

    with record(server, "5", "1 GB announced; chunks without an end; multipart of 1 GB") as case:
        answer = exchange(
            server.port, head("POST", SPEECH, [*JSON_TYPE, *TOO_LARGE]), method="POST"
        )
        case.saw(answer)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        answer = exchange(server.port, endless(), method="POST")
        case.note(f"chunks: {answer.summary} after {num_sent / 1e6:.1f} MB were sent")
        assert answer.status in (413, 0)
        assert num_sent < 10**8
        parts = [*KEY, ("Content-Type", "multipart/form-data; boundary=x"), *TOO_LARGE]
        answer = exchange(server.port, head("POST", SPEECH, parts), method="POST")
        case.saw(answer)
        assert answer.status in (413, 415)
        case.note(f"memory {case.grown_mb:+.1f} MB at most")
        assert case.grown_mb < 10


def test_huge_request_heads(server: FaultServer, record: Record) -> None:
    kinds: dict[str, Headers] = {
        "a header of 50 MB": [("X-Long", "a" * 50_000_000)],
        "10,000 headers": [(f"X-{index}", "a") for index in range(10_000)],
    }
    with record(server, "6", "a header of 50 MB, 10,000 headers, a path of 1 MB") as case:
        requests = {
            kind: head("GET", "/v1/models", [*KEY, *extra]) for kind, extra in kinds.items()
        }
        requests["a path of 1 MB"] = head("GET", "/" + "a" * 10**6, KEY)
        for kind, request in requests.items():
            answer = exchange(server.port, request)
            case.saw(answer)
            assert answer.status in (400, 414, 431, 0), kind
        case.note(f"memory {case.grown_mb:+.1f} MB at most")
        assert case.grown_mb < 10


def test_paths_and_urls_as_names_are_rejected(server: FaultServer, record: Record) -> None:
    num_hits = 0
    canary = socket.create_server(("127.0.0.1", 0))
    port = canary.getsockname()[1]

    def count() -> None:
        nonlocal num_hits
        with suppress(OSError):
            while True:
                canary.accept()[0].close()
                num_hits += 1

    counter = threading.Thread(target=count)
    counter.start()
    voices = [
        *("../../etc/passwd", "/dev/zero", "..\\..\\x", "leo/../leo", "leo\0", "%2e%2e/leo"),
        *(f"http://127.0.0.1:{port}/a.wav", f"http://[::ffff:127.0.0.1]:{port}/a.wav"),
        *(f"http://2130706433:{port}/", "http://169.254.169.254/latest", "file:///etc/passwd"),
        *(f"//127.0.0.1:{port}/", f"\\\\127.0.0.1@{port}\\share", "유나", "a" * 100_000),
    ]
    try:
        with record(server, "8", "paths and URLs as voice and model") as case:
            for name in voices:
                for fields in ({"voice": name}, {"voice": {"id": name}}, {"model": name}):
                    answer = server.ask(**fields)
                    case.saw(answer)
                    assert answer.status == (404 if "model" in fields else 400), name
                    assert len(answer.body) < 2048
            case.note(f"canary: {num_hits} hits")
            assert num_hits == 0
    finally:
        canary.shutdown(socket.SHUT_RDWR)
        canary.close()
        counter.join()


def test_other_origins_are_rejected(server: FaultServer, record: Record) -> None:
    with record(server, "9", "pages of another origin") as case:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:81"):
            answer = exchange(server.port, head("GET", "/v1/models", [*KEY, ("Origin", origin)]))
            case.saw(f"HTTP {answer.summary}")
            assert not any(name.startswith("access-control") for name in answer.headers)
            headers = [("Authorization", f"Bearer {ANNA}"), ("Origin", origin), *UPGRADE]
            answer = exchange(server.port, head("GET", STREAM, headers))
            case.saw(f"WebSocket {answer.summary}")
            assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")


def random_stream(random_source: random.Random) -> bytes:
    """Returns random bytes, or a request that is truncated or changed at random."""
    body = json.dumps({"input": f"The {SECRET_WORD}."}).encode()
    whole = head("POST", SPEECH, [*JSON_TYPE, ("Content-Length", str(len(body)))]) + body
    kind = random_source.randrange(4)
    if kind == 0:
        return random_source.randbytes(random_source.randrange(1, 5000))
    if kind == 1:
        return whole[: random_source.randrange(len(whole))]
    data = bytearray(head("GET", STREAM, [*KEY[:1], *UPGRADE]) if kind == 2 else whole)
    for _ in range(random_source.randrange(1, 8)):
        data[random_source.randrange(len(data))] = random_source.randrange(256)
    return bytes(data) + random_source.randbytes(random_source.randrange(200))


def test_random_bytes(server: FaultServer, record: Record) -> None:
    seed = int.from_bytes(os.urandom(4))
    random_source = random.Random(seed)
    streams = [random_stream(random_source) for _ in range(300)]

    def send(data: bytes) -> int:
        answer = b""
        with suppress(ConnectionError), connect(server.port) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(65_536):
                answer += block
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0

    with (
        record(server, "11", f"300 random byte streams (seed {seed})") as case,
        ThreadPoolExecutor(16) as callers,
    ):
        for status in callers.map(send, streams):
            case.saw(str(status or "closed"))
            assert status < 500
        assert server.process.poll() is None
