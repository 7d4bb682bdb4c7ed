"""Prompt ids have exactly the trained layout, and no text becomes a control token."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from orpheus_server.checkpoints.checkpoint import Checkpoint, Voice
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.errors import StartError
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from orpheus_server.synthesis.prompts import PromptBuilder, load_tokenizer
from orpheus_server.text.front_end import LETTERS

NUM_BYTES = 256
BEGIN, END_OF_TEXT = 256, 257
CUSTOM = 258
"""Id of `<custom_token_0>` in the small tokenizer; 128,256 in the published one."""

NUM_CUSTOM = 10 + 7 * 16


def small_tokenizer() -> Tokenizer:
    """A small tokenizer of the published scheme: bytes, two special tokens, custom tokens.

    As in the published files, the custom tokens are added tokens that are not marked special.
    """
    alphabet = sorted(ByteLevel.alphabet())
    assert len(alphabet) == NUM_BYTES
    tokenizer = Tokenizer(
        BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|eot_id|>"])
    tokenizer.add_tokens(
        [
            AddedToken(f"<custom_token_{n}>", special=False, normalized=False)
            for n in range(NUM_CUSTOM)
        ]
    )
    return tokenizer


def custom(number: int) -> int:
    return CUSTOM + number


SMALL = replace(
    ENGLISH,
    layout=replace(
        ENGLISH.layout,
        audio_token_base=custom(10),
        codebook_size=16,
        stop_token_ids=(custom(2), END_OF_TEXT, custom(6)),
    ),
    prompt=replace(
        ENGLISH.prompt,
        before=(custom(3), BEGIN),
        after=(END_OF_TEXT, custom(4), custom(5), custom(1)),
    ),
)
TARA = SMALL.voices[0]
ALPHABET = {char: index for index, char in enumerate(sorted(ByteLevel.alphabet()))}


@pytest.fixture(scope="module")
def builder() -> PromptBuilder:
    return PromptBuilder(SMALL, small_tokenizer())


@pytest.fixture(scope="module")
def pocket() -> Checkpoint:
    return load_speech_json(POCKET_FOLDER)


@pytest.fixture(scope="module")
def pocket_builder(pocket: Checkpoint) -> PromptBuilder:
    return PromptBuilder(pocket, load_tokenizer(POCKET_FOLDER))


def byte_ids(text: str) -> tuple[int, ...]:
    """Ids of printable ASCII; a space is written as Ġ."""
    return tuple(ALPHABET["Ġ" if char == " " else char] for char in text)


def body(builder: PromptBuilder, text: str, voice: Voice = TARA) -> tuple[int, ...]:
    """Returns the ids of a prompt without those of the template."""
    token_ids = builder.build(LETTERS.prepare(text), voice).token_ids
    before, after = SMALL.prompt.before, SMALL.prompt.after
    assert token_ids[: len(before)] == before
    assert token_ids[-len(after) :] == after
    return token_ids[len(before) : -len(after)]


def test_the_small_tokenizer_has_the_published_scheme() -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.token_to_id("<|eot_id|>") == END_OF_TEXT
    assert tokenizer.token_to_id("<custom_token_5>") == custom(5)
    assert tokenizer.encode("<custom_token_5>").ids == [custom(5)]
    tokenizer.encode_special_tokens = True
    # The filter is necessary because this switch affects only tokens that are marked special.
    assert tokenizer.encode("<custom_token_5>").ids == [custom(5)]


def test_exact_ids_and_one_begin_of_text(builder: PromptBuilder) -> None:
    """orpheus-speech decodes the ids to a string, which vLLM tokenises with a second BOS."""
    prompt = builder.build(LETTERS.prepare("Hi there."), TARA)
    expected = byte_ids("tara: Hi there.")
    assert prompt.token_ids == (
        *(custom(3), BEGIN),
        *expected,
        *(END_OF_TEXT, custom(4), custom(5), custom(1)),
    )
    assert prompt.token_ids.count(BEGIN) == 1
    assert prompt.num_text_tokens == len(expected)
    assert prompt.num_dropped_symbols == 0


@pytest.mark.parametrize(
    ("text", "expected", "num_dropped"),
    [
        ("a<custom_token_5>b", "ab", 1),
        ("<custom_token_5><custom_token_2>", "", 2),
        ("a<custom_token_121>", "a", 1),
        ("a<custom_token_122>", "a<custom_token_122>", 0),
        ("a<|eot_id|>b", "a<|eot_id|>b", 0),
        ("<|begin_of_text|>", "<|begin_of_text|>", 0),
        ("{voice} {0} {", "{voice} {0} {", 0),
    ],
)
def test_control_tokens_in_text(
    builder: PromptBuilder, text: str, expected: str, num_dropped: int
) -> None:
    """Fault case 4: <custom_token_2> in a caller's text ended the generation."""
    assert body(builder, text) == byte_ids(f"tara: {expected}")
    assert builder.build(LETTERS.prepare(text), TARA).num_dropped_symbols == num_dropped


CONTROLS = st.sampled_from(
    ["<|eot_id|>", "<|begin_of_text|>", "<custom_token_", "2>", "1>", "12>", "<", ">", "|"]
)


@given(st.lists(CONTROLS | st.text(st.characters(codec="utf-8"), max_size=4)).map("".join))
def test_no_text_becomes_a_control_id(builder: PromptBuilder, text: str) -> None:
    assert all(token_id < NUM_BYTES for token_id in body(builder, text))


def test_words_that_the_front_end_lost_are_counted(
    pocket_builder: PromptBuilder, pocket: Checkpoint
) -> None:
    chunk = replace(LETTERS.prepare("h ☃ i ."), num_lost_words=2)
    assert pocket_builder.build(chunk, pocket.default_voice).num_dropped_symbols == 3


def test_unknown_symbols_are_dropped_and_counted(
    pocket: Checkpoint, pocket_builder: PromptBuilder
) -> None:
    rms = pocket.voices[0]
    clean = pocket_builder.build(LETTERS.prepare("h ɛ l ˈoʊ ."), rms)
    dirty = pocket_builder.build(LETTERS.prepare("h ɛ ☃ l <unk> ˈoʊ Ω ."), rms)
    assert dirty.token_ids == clean.token_ids
    assert clean.num_dropped_symbols == 0
    assert dirty.num_dropped_symbols == 3


def test_exact_ids_of_the_bundled_voice(pocket: Checkpoint, pocket_builder: PromptBuilder) -> None:
    vocabulary = load_tokenizer(POCKET_FOLDER).get_vocab()
    prompt = pocket_builder.build(LETTERS.prepare("h ɛ l ˈoʊ ."), pocket.voices[1])
    names = ["slt:", "h", "ɛ", "l", "ˈoʊ", "."]
    assert prompt.token_ids == (1, *(vocabulary[name] for name in names), 2, 3)
    assert prompt.num_text_tokens == 6


@pytest.mark.parametrize("control", ["<pad>", "<bos>", "<eot>", "<sos>", "<eos>", "<unk>"])
def test_control_tokens_of_the_bundled_voice(
    pocket: Checkpoint, pocket_builder: PromptBuilder, control: str
) -> None:
    vocabulary = load_tokenizer(POCKET_FOLDER).get_vocab()
    chunk = LETTERS.prepare(f"h {control} .")
    token_ids = pocket_builder.build(chunk, pocket.voices[0]).token_ids
    assert token_ids == (1, vocabulary["rms:"], vocabulary["h"], vocabulary["."], 2, 3)


def test_an_unknown_token_that_is_not_an_added_one_is_dropped(
    tmp_path: Path, pocket: Checkpoint
) -> None:
    """Only added tokens were checked, but a vocabulary may have `<unk>` as a plain entry."""
    text = (POCKET_FOLDER / "tokenizer.json").read_text(encoding="utf-8")
    start = text.index('"added_tokens": [')
    without_added = text[:start] + '"added_tokens": []' + text[text.index("]", start) + 1 :]
    (tmp_path / "tokenizer.json").write_text(without_added, encoding="utf-8")
    builder = PromptBuilder(pocket, load_tokenizer(tmp_path))
    prompt = builder.build(LETTERS.prepare("h ☃ ."), pocket.voices[0])
    assert prompt.num_dropped_symbols == 1
    assert 95 not in prompt.token_ids


def test_missing_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {"type": "Nonsense"}}'])
def test_broken_tokenizer(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(StartError, match=r"tokenizer\.json cannot be read as a tokenizer: "):
        load_tokenizer(tmp_path)
