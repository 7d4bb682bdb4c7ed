"""The mix of requests: the same for the same seed, in the intended shares."""

import json
from collections import Counter

import pytest

from orpheus_server.bench.soak.mix import KINDS, Mix
from orpheus_server.settings import Settings
from tests.support.app import FakeServer

MIX = Mix(1)
ASKS = [MIX.ask(index) for index in range(4000)]


def test_the_seed_determines_the_mix() -> None:
    assert [Mix(1).ask(index) for index in range(50)] == ASKS[:50]
    assert [Mix(2).ask(index) for index in range(50)] != ASKS[:50]


def test_shares() -> None:
    counts = Counter(ask.kind for ask in ASKS)
    assert set(counts) == set(KINDS)
    assert 0.04 < counts["cut"] / len(ASKS) < 0.06
    assert 0.006 < counts["hang up"] / len(ASKS) < 0.014
    assert 0.01 < counts["bad input"] / len(ASKS) < 0.02


def test_every_way_to_leave() -> None:
    cuts = [ask for ask in ASKS if ask.kind == "cut"]
    assert {ask.behaviour.resets for ask in cuts} == {False, True}
    assert {ask.response_format for ask in cuts} == {"pcm", "mp3", "opus"}
    assert all(ask.behaviour.cut_byte for ask in cuts)
    assert all(ask.behaviour.hang_up_sec for ask in ASKS if ask.kind == "hang up")
    assert all(0 < ask.hold_sec <= 1 for ask in ASKS if ask.kind == "half body")
    utterances = [utterance for ask in ASKS for utterance in ask.utterances]
    assert {utterance.cancel_byte is None for utterance in utterances} == {False, True}
    assert all(bool(ask.utterances) == (ask.kind == "socket") for ask in ASKS)


def test_bodies() -> None:
    bodies = {ask.kind: json.loads(MIX.body(ask)) for ask in ASKS if ask.mistake is None}
    assert bodies["pcm"]["stream"] is True
    assert bodies["mp3"]["response_format"] == "mp3"
    assert "stream" not in bodies["wav"]
    assert bodies["sse"]["stream_format"] == "sse"
    assert bodies["pcm"]["model"] == "tts-1"


def test_a_server_without_an_input_limit() -> None:
    names = [mistake.name for mistake in Mix(1, max_input_chars=0).mistakes()]
    assert "input too long" not in names
    assert len(names) == len(MIX.mistakes()) - 1


@pytest.mark.parametrize("mistake", MIX.mistakes(), ids=lambda mistake: mistake.name)
def test_the_server_answers_mistakes_as_expected(mistake: object) -> None:
    (found,) = [each for each in MIX.mistakes() if each == mistake]
    with FakeServer(settings=Settings.model_construct()).client() as client:
        response = client.post(
            "/v1/audio/speech", content=found.body, headers={"content-type": found.content_type}
        )
    assert response.status_code == found.status
