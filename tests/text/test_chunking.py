"""Plans of chunks: a caller's text in pieces of one generation each."""

import re
from dataclasses import dataclass, field, replace

import pytest

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.text.chunking import ChunkLimits, ChunkPlan, limits_for, plan_chunks
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.front_end import LETTERS, FrontEnd, LetterFrontEnd, PreparedText
from tests.support.app import POCKET

NONE: frozenset[str] = frozenset()
LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)


def collect(plan: ChunkPlan) -> tuple[str, ...]:
    return tuple(chunk.text for chunk in iter(plan.next_chunk, None))


def next_text(plan: ChunkPlan) -> str | None:
    chunk = plan.next_chunk()
    return None if chunk is None else chunk.text


@dataclass
class Recorder:
    front_end: FrontEnd = LETTERS
    pieces: list[str] = field(default_factory=list)
    is_word: None = None

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        self.pieces.append(piece)
        return self.front_end.prepare(piece, stop)


class TestPlanChunks:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            " \n\t ",
            "...!?",
            "😀 🎉",
            "—",
            "<laugh>",
            "<|eot_id|>",
            "<custom_token_5>",
            "\u0301",
        ],
    )
    def test_nothing_to_speak(self, text: str) -> None:
        plan = plan_chunks(text, tags=NONE, limits=LIMITS)
        assert (plan.is_empty, plan.next_chunk()) == (True, None)
        assert plan.num_dropped_tags == len(re.findall("<", text))

    @pytest.mark.parametrize(
        ("text", "tags", "chunks"),
        [
            ("Hello.", NONE, ("Hello.",)),
            ("  7 ", NONE, ("7.",)),
            ("你好。", NONE, ("你好。",)),
            ("<laugh>", frozenset({"laugh"}), ("<laugh>",)),
            ("Well <LAUGH> yes.", frozenset({"laugh"}), ("Well <laugh> yes.",)),
            ("Well <laugh> yes.", NONE, ("Well yes.",)),
            ("Hi <custom_token_5><|eot_id|>you.", NONE, ("Hi you.",)),
            ("Smile 😀 please", NONE, ("Smile 😀 please.",)),
        ],
    )
    def test_one_chunk(self, text: str, tags: frozenset[str], chunks: tuple[str, ...]) -> None:
        assert collect(plan_chunks(text, tags=tags, limits=LIMITS)) == chunks

    def test_dropped_tags_are_counted(self) -> None:
        text = "Well <happy> <laugh> <|eot_id|> yes."
        plan = plan_chunks(text, tags=frozenset({"laugh"}), limits=LIMITS)
        assert (collect(plan), plan.num_dropped_tags) == (("Well <laugh> yes.",), 2)

    @pytest.mark.parametrize(
        ("text", "chunks"),
        [
            ("Hello", ("Hello.",)),
            ("Hello!", ("Hello!",)),
            ("你好", ("你好。",)),
            ("Well <laugh>", ("Well <laugh>",)),
            ("A heading\n\nAnd text", ("A heading. And text.",)),
            ("Roses are red\nViolets are blue", ("Roses are red, Violets are blue.",)),
            ("- milk\n- bread", ("- milk, - bread.",)),
            ("Mail is wrapped\nin the middle.", ("Mail is wrapped in the middle.",)),
            (f"{'word ' * 12}end\nNext.", (f"{'word ' * 12}end Next.",)),
            ("第一行\n第二行", ("第一行， 第二行。",)),
            ("नमस्ते\n\nआप कैसे", ("नमस्ते. आप कैसे.",)),
            ("_snake_\n\nAnd text", ("_snake_ And text.",)),
        ],
    )
    def test_line_ends_and_the_end_get_a_stop(self, text: str, chunks: tuple[str, ...]) -> None:
        """audiobook-creator#13: text without a final full stop was read two or three times."""
        plan = plan_chunks(text, tags=frozenset({"laugh"}), limits=LIMITS)
        assert collect(plan) == chunks

    def test_a_cut_within_a_sentence_becomes_a_comma(self) -> None:
        limits = replace(LIMITS, chunk_max_chars=20)
        plan = plan_chunks("one two three four five six seven", tags=NONE, limits=limits)
        assert collect(plan) == ("one two three four,", "five six seven.")

    def test_text_that_the_voice_cannot_speak_is_dropped(self) -> None:
        """The bundled voice reads English: Chinese text gave an empty prompt, and noise."""

        def expected_sec(text: str) -> float:
            return estimate_duration_sec(text) if text.isascii() else 0.0

        front_end = LetterFrontEnd(expected_sec)
        limits = replace(LIMITS, chunk_max_chars=12)
        text = "Hello there. 你好世界你好世界你好。 Good bye."
        plan = plan_chunks(text, tags=NONE, limits=limits, front_end=front_end)
        assert collect(plan) == ("Hello there.", "Good bye.")
        assert plan.num_dropped_symbols == 10
        plan = plan_chunks("你好。", tags=NONE, limits=limits, front_end=front_end)
        assert (plan.is_empty, plan.num_dropped_symbols) == (True, 2)

    def test_length_is_measured_by_the_front_end(self) -> None:
        """Numbers are short in letters and long in phonemes."""
        limits = replace(LIMITS, chunk_max_sec=2.0)
        text = "one two three four five six seven eight"
        plan = plan_chunks(
            text, tags=NONE, limits=limits, front_end=LetterFrontEnd(lambda part: len(part) / 6)
        )
        assert max(len(chunk) for chunk in collect(plan)) <= 13

    def test_a_chunk_without_speech_is_dropped(self) -> None:
        text = "Hello there, you.\n\n" + "!" * 300 + "\n\nGood bye to you."
        limits = replace(LIMITS, chunk_max_chars=100)
        chunks = collect(plan_chunks(text, tags=NONE, limits=limits))
        assert len(chunks) < sum(map(len, text.split())) / 100
        assert [chunk for chunk in chunks if not any(map(str.isalnum, chunk))] == []
        words = "".join(char for char in " ".join(chunks) if char not in "!")
        assert words.split() == text.replace("!", "").split()

    @pytest.mark.parametrize(
        ("text", "least"),
        [
            ("12 345 678 90 12 " * 20, 12),  # 0.3 s a digit
            ("这是一个很长的句子用来测试" * 15, 8),  # 0.22 s a character
            ("7" * 80, 4),  # can be cut only between digits
        ],
    )
    def test_digits_and_ideographs_get_short_chunks(self, text: str, least: int) -> None:
        """With limits in characters alone, 500 of them lasted two minutes: audio was cut off."""
        limits = replace(LIMITS, chunk_max_sec=6.0)
        chunks = collect(plan_chunks(text, tags=NONE, limits=limits))
        assert len(chunks) >= least
        bare = [chunk.rstrip(".,。，") for chunk in chunks]
        assert max(map(estimate_duration_sec, bare)) <= 6.0
        assert "".join("".join(bare).split()) == "".join(text.split())


class TestSentences:
    """A voice that was trained on single sentences takes a full stop for the end of its text."""

    @pytest.mark.parametrize(
        "sentences",
        [
            ("Wait a moment.", "I think I know the answer."),
            ("Yes, of course.", "I will call you back tomorrow."),
            ("Oh!", "Really?", "Yes."),
            ("Your total is $1,234.56.", "Let me check the coverage in your area."),
            ("It was published in 2024.", "The next one is late."),
            ("Dr. Smith of the U.S. Army sees 3.5 of them, e.g. this one.", "They are many."),
            ("He works at Apple Inc.", "She left.", "I paid 12.", "The rest is free."),
            ('"Stop!" he said.', '"I will," she said.'),
            ("A heading.", "A paragraph that goes on, and on.", "It ends."),
            ("今天天气好。", "我们去公园。"),
        ],
    )
    def test_each_sentence_is_a_chunk(self, sentences: tuple[str, ...]) -> None:
        limits = replace(LIMITS, max_sentences=1)
        for gap in (" ", "\n", "\n\n"):
            plan = plan_chunks(gap.join(sentences), tags=NONE, limits=limits)
            assert collect(plan) == sentences

    def test_a_sentence_without_a_space_before_it_is_a_chunk_too(self) -> None:
        text = "It was published in 2024.The next one is late.So it is."
        plan = plan_chunks(text, tags=NONE, limits=replace(LIMITS, max_sentences=1))
        assert collect(plan) == ("It was published in 2024.", "The next one is late.", "So it is.")

    def test_a_drawn_out_word_is_one_word(self) -> None:
        """ "R" 900 times was spoken in twelve chunks."""
        plan = plan_chunks("It is " + "r" * 900 + "aw.", tags=NONE, limits=LIMITS)
        assert collect(plan) == ("It is " + "r" * 16 + "aw.",)

    def test_a_chunk_has_at_most_so_many_sentences(self) -> None:
        limits = replace(LIMITS, max_sentences=2)
        plan = plan_chunks("One. Two. Three. Four. Five, six.", tags=NONE, limits=limits)
        assert collect(plan) == ("One. Two.", "Three. Four.", "Five, six.")

    def test_a_sentence_that_is_too_long_is_still_cut(self) -> None:
        limits = replace(LIMITS, chunk_max_chars=20, max_sentences=1)
        plan = plan_chunks("Yes. One two three, four five six.", tags=NONE, limits=limits)
        assert collect(plan) == ("Yes.", "One two three,", "four five six.")


class TestPauses:
    """The pause after a chunk is that of its text: of a word, clause, sentence or paragraph."""

    @pytest.mark.parametrize(
        ("text", "endings"),
        [
            ("One is here. Two is here.", "sentence sentence"),
            ("One is here.\n\nTwo is here.\nThree is.", "paragraph sentence sentence"),
            ("A heading\n\nTwo is here.", "paragraph sentence"),
            # No paragraph follows that could be spoken.
            ("One is here.\n\n***\n", "sentence"),
            ("One, two, three, four, five, six.", "clause sentence"),
            ("One two three four five six seven", "word sentence"),
            ("One two three four five six seven\n\nEight.", "word paragraph sentence"),
        ],
    )
    def test_how_chunks_end(self, text: str, endings: str) -> None:
        limits = replace(LIMITS, chunk_max_chars=22, max_sentences=1)
        plan = plan_chunks(text, tags=NONE, limits=limits)
        assert [chunk.ending for chunk in iter(plan.next_chunk, None)] == endings.split()

    def test_the_last_part_of_a_long_paragraph_ends_it(self) -> None:
        limits = replace(LIMITS, chunk_max_sec=1.5, max_sentences=1)
        plan = plan_chunks("One two three four five six seven.\n\nBye.", tags=NONE, limits=limits)
        assert [chunk.ending for chunk in iter(plan.next_chunk, None)] == [
            *("word", "paragraph", "sentence")
        ]


class TestTooLongForOneGeneration:
    """Cut after a sentence if there is one, then after a clause, and only then between words."""

    @pytest.mark.parametrize(
        ("text", "max_sec", "chunks"),
        [
            (
                "Your total is $1,234.56. Let me check the coverage in your area.",
                4.5,
                ("Your total is $1,234.56.", "Let me check the coverage in your area."),
            ),
            (
                "It is 1,234.56 here, so let me check the coverage in your area.",
                5.0,
                ("It is 1,234.56 here,", "so let me check the coverage in your area."),
            ),
            (
                "No. It is 12 345 678 in all of the area.",
                3.0,
                ("No.", "It is 12 345 678 in,", "all of the area."),
            ),
            (
                "One is 111. Two is 222. Three is 333. Four is 444.",
                4.0,
                ("One is 111. Two is 222.", "Three is 333. Four is 444."),
            ),
            (
                "One is 111. Two is 222, or so. Three is 333.",
                2.5,
                ("One is 111.", "Two is 222, or so.", "Three is 333."),
            ),
        ],
    )
    def test_where_it_is_cut(self, text: str, max_sec: float, chunks: tuple[str, ...]) -> None:
        limits = replace(LIMITS, chunk_max_sec=max_sec)
        assert collect(plan_chunks(text, tags=NONE, limits=limits)) == chunks

    @pytest.mark.parametrize(
        "text",
        [
            "Your total is $1,234.56.",
            "The population of the town was 48,213.",
            "She counted twenty seven small boats on the lake that morning",
        ],
    )
    @pytest.mark.parametrize(("share", "is_whole"), [(1.0, True), (0.87, True), (0.8, False)])
    def test_words_without_a_pause_are_cut_only_if_much_too_long(
        self, text: str, share: float, is_whole: bool
    ) -> None:
        limits = replace(LIMITS, chunk_max_sec=share * LETTERS.prepare(text, ".").piece_sec)
        chunks = collect(plan_chunks(text, tags=NONE, limits=limits))
        assert (len(chunks) == 1) is is_whole

    def test_a_clause_is_cut_as_soon_as_the_piece_is_too_long(self) -> None:
        text = "When the rain had stopped, she counted twenty seven boats."
        limits = replace(LIMITS, chunk_max_sec=0.99 * LETTERS.prepare(text).piece_sec)
        assert collect(plan_chunks(text, tags=NONE, limits=limits)) == (
            "When the rain had stopped,",
            "she counted twenty seven boats.",
        )


class TestPlanFirstChunk:
    """Audio starts early, and the chunk whose faults cannot be retried unheard is short."""

    SHORT = "It was cold."
    LONG = "It was a bright cold day in April, and all the clocks were striking thirteen."
    NO_STOP = "and all the clocks of the old town went on and on and were striking thirteen at once"

    @pytest.mark.parametrize(
        ("text", "first"),
        [
            (f"{LONG} {SHORT}", f"{LONG} {SHORT}"),
            (f"{LONG} {LONG}", LONG),
            (f"{LONG} {SHORT} {LONG} {LONG}", f"{LONG} {SHORT}"),
            # No sentence ends between 40 and 120 characters.
            (f"{SHORT} Well, {NO_STOP}, {NO_STOP}.", f"{SHORT} Well, {NO_STOP},"),
            (f"{SHORT} Well, {NO_STOP} {NO_STOP}.", f"{SHORT} Well, {NO_STOP} {NO_STOP}."),
            # Only a few words would remain.
            (f"{LONG} {NO_STOP}. {SHORT}", LONG),
            (f"{NO_STOP} {SHORT} {SHORT} {SHORT}", f"{NO_STOP} {SHORT} {SHORT} {SHORT}"),
            (f"{LONG} <laugh> {LONG}", LONG),
            # An ideograph lasts as long as three letters.
            ("今天天气很好，我们去公园。" * 5, "今天天气很好，我们去公园。" * 3),
        ],
    )
    def test_a_long_first_piece_ends_early(self, text: str, first: str) -> None:
        plan = plan_chunks(text, tags=frozenset({"laugh"}), limits=LIMITS)
        assert next_text(plan) == first
        rest = "".join(collect(plan))
        assert "".join((first + rest).split()) == "".join(text.split())

    def test_the_rest_is_split_together_with_what_follows(self) -> None:
        text = " ".join([self.LONG] * 8)
        plan = plan_chunks(text, tags=NONE, limits=replace(LIMITS, chunk_max_chars=250))
        assert collect(plan) == (
            self.LONG,
            *(" ".join([self.LONG] * num) for num in (3, 3, 1)),
        )

    def test_the_first_chunk_is_the_first_one_with_speech(self) -> None:
        text = "!" * 300 + f"\n\n{self.LONG} {self.LONG} {self.LONG} {self.LONG}"
        plan = plan_chunks(text, tags=NONE, limits=replace(LIMITS, chunk_max_chars=300))
        assert next_text(plan) == self.LONG


class TestPlanIsLazy:
    def test_a_piece_is_prepared_only_when_it_is_needed(self) -> None:
        """The measurement of 30,000 characters delayed the first word by a second."""
        front_end = Recorder()
        text = "It was a bright cold day in April. " * 900
        limits = replace(LIMITS, chunk_max_chars=40)
        plan = plan_chunks(text, tags=NONE, limits=limits, front_end=front_end)
        assert len(front_end.pieces) == 1
        for num in range(1, 10):
            assert next_text(plan) == text[:34]
            assert len(front_end.pieces) == num
        assert len(collect(plan)) == 891

    def test_the_next_piece_is_prepared_early_only_if_the_stop_depends_on_it(self) -> None:
        front_end = Recorder()
        limits = replace(LIMITS, chunk_max_chars=14)
        text = "One two three four five. Six seven now."
        plan = plan_chunks(text, tags=NONE, limits=limits, front_end=front_end)
        taken = [(next_text(plan), len(front_end.pieces)) for _ in range(4)]
        assert taken == [
            ("One two three,", 2),
            ("four five.", 2),
            ("Six seven now.", 3),
            (None, 3),
        ]

    @pytest.mark.parametrize(
        ("text", "chunks", "pieces"),
        [
            ("One two three four", ("One two three four.",), ["One two three four"]),
            (
                "One two three four five six seven",
                ("One two three four,", "five six seven."),
                ["One two three four", "five six seven"],
            ),
            # It was prepared with a comma, which became a full stop.
            (
                f"One two three four {'你好' * 10}",
                ("One two three four.",),
                ["One two three four", "你好" * 10, "One two three four"],
            ),
        ],
    )
    def test_a_piece_is_prepared_again_only_if_the_voice_cannot_speak_the_rest(
        self, text: str, chunks: tuple[str, ...], pieces: list[str]
    ) -> None:
        front_end = Recorder(LetterFrontEnd(lambda text: float(text.isascii())))
        limits = replace(LIMITS, chunk_max_chars=20)
        plan = plan_chunks(text, tags=NONE, limits=limits, front_end=front_end)
        assert (collect(plan), front_end.pieces) == (chunks, pieces)

    def test_dropped_symbols_are_counted_while_chunks_are_taken(self) -> None:
        limits = replace(LIMITS, chunk_max_chars=16)
        plan = plan_chunks(
            "Hello there you. 你好世界你好世界你好。 Good bye to you.",
            tags=NONE,
            limits=limits,
            front_end=LetterFrontEnd(lambda text: float(text.isascii())),
        )
        assert (next_text(plan), plan.num_dropped_symbols) == ("Hello there you.", 0)
        assert (next_text(plan), plan.num_dropped_symbols) == ("Good bye to you.", 10)
        assert plan.next_chunk() is None
        assert plan.next_chunk() is None


@pytest.mark.parametrize(
    ("checkpoint", "chunk_max_chars", "max_model_len", "max_tokens", "limits"),
    [
        # Trained on single sentences of 6.5 s, of which 0.85 are used; 15 characters a second.
        (POCKET, 500, 2048, 4096, (82, 5.525)),
        (POCKET, 60, 2048, 4096, (60, 5.525)),
        (ENGLISH, 500, 8192, 4096, (500, 34.0)),
        # Half of 2,048 tokens at 82.03 a second.
        (ENGLISH, 500, 2048, 4096, (187, 12.483)),
        # TTS_MAX_TOKENS=820 is 10 s, of which 0.7 are used: longer chunks would all be cut off.
        (ENGLISH, 500, 8192, 820, (104, 6.997)),
    ],
)
def test_limits_fit_training_context_and_token_limit(
    checkpoint: Checkpoint,
    chunk_max_chars: int,
    max_model_len: int,
    max_tokens: int,
    limits: tuple[int, float],
) -> None:
    found = limits_for(
        checkpoint,
        frame_sec=2048 / 24_000,
        chunk_max_chars=chunk_max_chars,
        max_model_len=max_model_len,
        max_tokens=max_tokens,
    )
    assert found.chunk_max_chars == limits[0]
    assert found.chunk_max_sec == pytest.approx(limits[1], abs=0.001)
    assert found.max_sentences == (1 if checkpoint is POCKET else None)
