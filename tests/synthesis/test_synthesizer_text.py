"""Text is split into chunks in the pool, and converted to phonemes once."""

import threading
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial

import pytest

from orpheus_server.errors import RequestError
from orpheus_server.synthesis.job import SpeechJob, SpeechStats
from orpheus_server.text import front_end
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.english.normalising import spell_out
from orpheus_server.text.front_end import LetterFrontEnd, PhonemeFrontEnd, PreparedText
from tests.support.app import PARAMS, Bench, CountingPhonemizer, short_script
from tests.support.synthesis import LIMITS, build, pieces_of


@pytest.mark.anyio
class TestText:
    """Text is cleaned and measured in the pool, through the methods that the routes use."""

    SENTENCE = "It was a bright cold day in April, and all the clocks were striking thirteen."
    TEXT = f"{SENTENCE} <laugh> {SENTENCE}"

    async def test_the_chunks_of_a_plan(self, bench: Bench) -> None:
        synthesizer = build(bench)
        plan = await synthesizer.plan(self.TEXT, tags=frozenset())
        assert plan.num_dropped_tags == 1
        assert [chunk.text async for chunk in synthesizer.chunks_of(plan)] == [
            self.SENTENCE,
            self.SENTENCE,
        ]
        assert [chunk.text async for chunk in synthesizer.chunks_of(plan)] == []

    @pytest.mark.parametrize("speed", [0.25, 1.0, 4.0])
    @pytest.mark.parametrize("silence_sec", [0.0, 0.2])
    @pytest.mark.parametrize("is_live", [False, True])
    async def test_nothing_to_speak(
        self, bench: Bench, is_live: bool, silence_sec: float, speed: float
    ) -> None:
        """The silence has its length at any speed, and is not counted as speech."""
        synthesizer, stats = build(bench), SpeechStats()
        plan = await synthesizer.plan("!!!", tags=frozenset())
        params = replace(PARAMS, speed=speed)
        job = SpeechJob("r", synthesizer.chunks_of(plan), params, silence_sec)
        if is_live:
            pieces = [piece async for piece in synthesizer.stream(job, stats)]
            assert [(piece.start_sample, piece.chunk, piece.text) for piece in pieces] == [
                (0, None, None)
            ]
            data = pieces[0].data
        else:
            data = await synthesizer.collect(job, stats)
        assert data == bytes(round(silence_sec * 48_000))
        assert stats == SpeechStats()
        assert bench.engine.requests == []

    async def test_a_blank_text(self, bench: Bench) -> None:
        with pytest.raises(RequestError, match="blank"):
            await build(bench).plan(" \n", tags=frozenset())

    async def test_text_in_pieces(self, bench: Bench) -> None:
        synthesizer = build(bench)
        stream = synthesizer.open_chunk_stream(tags=frozenset())
        chunks = [
            *await synthesizer.run_text(partial(stream.feed, self.TEXT)),
            *await synthesizer.run_text(stream.flush),
        ]
        assert [chunk.text for chunk in chunks] == [self.SENTENCE] * 2
        assert stream.num_dropped_tags == 1


@pytest.mark.anyio
class TestTextIsPhonemizedOnce:
    """Planning and each attempt phonemized the same text again, at least twice per chunk."""

    TEXT = "Abcdefg hijklmno. Pqrstuv wxyzabcd"

    async def phonemized_texts(
        self,
        bench: Bench,
        *,
        limits: ChunkLimits = LIMITS,
        num_failures: int = 0,
        num_attempts: int = 1,
    ) -> list[str]:
        """Returns the texts that are phonemized for a request whose first attempts fail."""
        bench.scripts.update({f"r-0-{n}": short_script(0) for n in range(1, num_failures + 1)})
        phonemizer, stats = CountingPhonemizer(), SpeechStats()
        synthesizer = build(
            bench, front_end=PhonemeFrontEnd(phonemizer), limits=limits, max_attempts=5
        )
        plan = await synthesizer.plan(self.TEXT, tags=frozenset())
        await synthesizer.collect(SpeechJob("r", synthesizer.chunks_of(plan), PARAMS), stats)
        assert stats.num_attempts == num_attempts
        assert threading.get_ident() not in phonemizer.threads
        return phonemizer.texts

    async def test_a_text_that_fits(self, bench: Bench) -> None:
        assert await self.phonemized_texts(bench) == [f"{self.TEXT}."]

    async def test_retries_of_the_whole_text(self, bench: Bench) -> None:
        texts = await self.phonemized_texts(bench, num_failures=2, num_attempts=3)
        assert texts == [f"{self.TEXT}."]

    async def test_each_half_of_a_split_attempt(self, bench: Bench) -> None:
        texts = await self.phonemized_texts(bench, num_failures=3, num_attempts=4)
        assert texts == [f"{self.TEXT}.", "Abcdefg hijklmno.", "Pqrstuv wxyzabcd."]

    async def test_a_piece_that_is_too_long_and_each_of_its_parts(self, bench: Bench) -> None:
        limits = replace(LIMITS, chunk_max_sec=1.5)  # 31 phonemes last 2.48 s, 17 last 1.36 s
        texts = await self.phonemized_texts(bench, limits=limits, num_attempts=2)
        assert texts == [f"{self.TEXT}.", "Abcdefg hijklmno.", "Pqrstuv wxyzabcd."]

    async def test_text_in_pieces(self, bench: Bench) -> None:
        phonemizer, stats = CountingPhonemizer(), SpeechStats()
        bench.scripts["r-1-1"] = short_script(0)
        synthesizer = build(bench, front_end=PhonemeFrontEnd(phonemizer))
        stream = synthesizer.open_chunk_stream(tags=frozenset())

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            for word in f"{self.TEXT} efgh. Ijklmn opq, rst uvw".split(" "):
                for chunk in await synthesizer.run_text(partial(stream.feed, f"{word} ")):
                    yield chunk
            for chunk in await synthesizer.run_text(stream.flush):
                yield chunk

        pieces = await pieces_of(synthesizer, SpeechJob("r", chunks(), PARAMS), stats)
        assert phonemizer.texts == [f"{self.TEXT} efgh.", "Ijklmn opq, rst uvw."]
        assert {piece.text for piece in pieces} == {*phonemizer.texts, None}
        assert stats.num_attempts == 3
        assert threading.get_ident() not in phonemizer.threads


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("It is 12 345 678 in all of it", ["It is 12 345 678", "in all of it."]),
        ("Your order is $1,234.56 for 5 kg", ["Your order is", "$1,234.56 for 5 kg."]),
        ("They paid 3 500 000 euros in 1999", ["They paid 3 500 000", "euros in 1999."]),
    ],
)
async def test_each_half_of_a_split_attempt_is_spelled_out_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, text: str, halves: list[str]
) -> None:
    """The halves are those of the text as it was written, and no number is cut."""
    texts: list[str] = []

    def rewrite(text: str) -> str:
        texts.append(text)
        return spell_out(text)

    monkeypatch.setattr(front_end, "_SPELLED_OUT", LetterFrontEnd(rewrite=rewrite))
    bench.scripts.update({f"r-0-{n}": short_script(0) for n in (1, 2, 3)})
    synthesizer, stats = build(bench, max_attempts=4), SpeechStats()
    plan = await synthesizer.plan(text, tags=frozenset(), is_spelled_out=True)
    params = replace(PARAMS, is_spelled_out=True)
    await synthesizer.collect(SpeechJob("r", synthesizer.chunks_of(plan), params), stats)
    assert stats.num_attempts == 4
    assert texts == [f"{text}.", text, *halves]
    assert not any(char.isdigit() for half in halves for char in spell_out(half))
