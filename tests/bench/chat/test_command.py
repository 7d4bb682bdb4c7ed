"""The times of spoken replies, from their events."""

import argparse
import asyncio
import json
from collections.abc import Iterator

import pytest

from orpheus_server.bench import command
from orpheus_server.bench.chat import command as chat
from orpheus_server.bench.chat.stats import ChatResult, ChatTimes, chat_stats, chat_table
from orpheus_server.bench.report import Percentiles
from orpheus_server.chat.echo import EchoModel
from orpheus_server.errors import ChatModelFailed
from orpheus_server.fakes import ReplyScript, ScriptedChatModel
from tests.support.app import FakeServer
from tests.support.served import ServedFakes


def event(delta: dict[str, object]) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]})


def chat_result(**changes: object) -> ChatResult:
    fields: dict[str, object] = {
        "first_text_sec": 0.1,
        "last_text_sec": 0.9,
        "first_audio_sec": 0.4,
        "total_sec": 2.0,
        "audio_sec": 3.0,
    }
    return ChatResult(**{**fields, **changes})  # type: ignore[arg-type]


class TestTimes:
    def test_text_and_audio(self) -> None:
        times = ChatTimes()
        for at_sec, line in enumerate(
            (
                event({"role": "assistant", "content": None, "audio": {"transcript": ""}}),
                event({"audio": {"transcript": "Hel"}}),
                "",
                event({"audio": {"data": "AAAAAA=="}}),
                event({"audio": {"transcript": "lo."}}),
                event({"audio": {"data": "AAAAAA=="}}),
                event({}),
                'data: {"choices": [], "usage": {}}',
                "data: [DONE]",
            )
        ):
            times.take(line, float(at_sec))
        assert times.result(9.0, None) == ChatResult(
            first_text_sec=1.0,
            last_text_sec=4.0,
            first_audio_sec=3.0,
            total_sec=9.0,
            audio_sec=8 / 48_000,
        )

    def test_failures(self) -> None:
        times = ChatTimes()
        assert times.result(1.0, "timeout").failure == "timeout"
        assert times.result(1.0, None).failure == "no end"
        times.take("data: [DONE]", 0.5)
        assert times.result(1.0, None).failure == "no sound"
        times.take('data: {"error": {"code": "llm_failed"}}', 0.6)
        assert times.result(1.0, None).failure == "llm_failed"


def test_audio_before_the_text_is_complete() -> None:
    assert chat_result().is_overlapped
    assert not chat_result(first_audio_sec=0.9).is_overlapped
    assert not chat_result(first_audio_sec=None).is_overlapped


def test_stats() -> None:
    stats = chat_stats(
        [chat_result(), chat_result(first_audio_sec=1.0), chat_result(failure="503 x")],
        num_users=2,
    )
    assert (stats.num_users, stats.num_answers, stats.num_overlapped) == (2, 3, 1)
    assert (stats.failures, stats.num_failed, stats.audio_sec) == ({"503 x": 1}, 1, 6.0)
    assert stats.first_audio_sec == Percentiles(0.7, 0.97, 0.994)
    assert chat_table([stats]).splitlines() == [
        "users  answers  failed  first text  first audio  last text        end  sooner",
        "    2        3       1     100/100      700/970    900/900  2000/2000       1",
        "times: p50/p95 ms; sooner: replies that were heard before their text was complete.",
    ]


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with ServedFakes(FakeServer(chat=EchoModel())) as served:
        yield served


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


class TestCommand:
    def test_a_server_that_answers(
        self, served: ServedFakes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = (
            served.url,
            "--chat",
            "--concurrency",
            "1,3",
            "--requests",
            "4",
            "--voice",
            "slt",
        )
        assert command.run(parse(*arguments)) == 0
        document = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert [level["num_answers"] for level in document["levels"]] == [4, 4]
        assert [level["failures"] for level in document["levels"]] == [{}, {}]
        assert document["settings"]["max_tokens"] == 128

    def test_a_server_that_fails(self, capsys: pytest.CaptureFixture[str]) -> None:
        model = ScriptedChatModel(ReplyScript((), error=ChatModelFailed("no reply")))
        with ServedFakes(FakeServer(chat=model)) as served:
            arguments = (served.url, "--chat", "--concurrency", "1", "--requests", "2")
            assert command.run(parse(*arguments)) == 1
        assert "1 users: 2 x 502 llm_failed" in capsys.readouterr().out

    def test_a_server_without_a_language_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ServedFakes(FakeServer()) as served:
            arguments = (served.url, "--chat", "--concurrency", "1", "--requests", "2")
            assert command.run(parse(*arguments)) == 1
        assert "1 users: 2 x 503 llm_not_configured" in capsys.readouterr().out

    def test_an_unreachable_server(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.run(parse("http://127.0.0.1:9", "--chat")) == 1
        assert "does not answer" in capsys.readouterr().err

    def test_the_key_is_not_part_of_the_options(self, served: ServedFakes) -> None:
        options = chat.options_of(parse(served.url, "--chat", "--api-key", "secret"))
        assert "secret" not in str(options)


def test_a_slow_answer_times_out(served: ServedFakes) -> None:
    async def ask() -> ChatResult:
        options = chat.options_of(parse(served.url, "--chat", "--timeout-sec", "1e-9"))
        async with chat.ChatCaller(options) as caller:
            return await caller.ask("Hello.", seed=1)

    assert asyncio.run(ask()).failure == "timeout"
