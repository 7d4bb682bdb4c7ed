"""Prompts as text: control tokens of the caller are removed, those of the template are not."""

from dataclasses import replace

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.engine.completion_prompt import (
    PromptText,
    first_custom_id,
    without_control_tokens,
)
from orpheus_server.errors import StartError
from orpheus_server.interfaces import Frame
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from orpheus_server.synthesis.frames import to_token_ids
from orpheus_server.synthesis.prompts import load_tokenizer
from tests.support.app import POCKET

FRAME: Frame = (0, 1, 2, 3, 4, 5, 4095)


def byte_tokenizer() -> Tokenizer:
    """Reads bytes as Llama's does, and has its control tokens with their ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    layout = ENGLISH.layout
    # Ids follow each other, so the gaps before the control tokens are filled.
    names = [f"<filler_{number}>" for number in range(len(alphabet), 128_000)]
    names += ["<|begin_of_text|>", *(f"<|reserved_{number}|>" for number in range(1, 9))]
    names += ["<|eot_id|>", *(f"<|reserved_{number}|>" for number in range(10, 256))]
    names += [f"<custom_token_{number}>" for number in range(layout.audio_token_end - 128_256)]
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Plain <b>text</b> | 3 < 4.", "Plain <b>text</b> | 3 < 4."),
        ("a<custom_token_2>b", "ab"),
        ("a<custom_<custom_token_2>token_2>b", "ab"),
        ("<<|x|>|eot_id|>b", "b"),
        ("<|a<custom_token_1>b|>", ""),
        ("<custom_token_<<bos>bos>1>", ""),
        ("<b<bos>os>", ""),
    ],
)
def test_control_tokens_are_removed_until_none_is_left(text: str, cleaned: str) -> None:
    assert without_control_tokens(text, ["<bos>"]) == cleaned


def test_the_text_of_a_prompt(tokenizer: Tokenizer) -> None:
    text = PromptText(ENGLISH, tokenizer)
    spoken = "Say <custom_token_2>, <|eot_id|> and <custom_<custom_token_2>token_3>: é, 你."
    template = ENGLISH.prompt
    # As in `PromptBuilder`, which drops control tokens; what is left may read like another one.
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(f"tara: {spoken}").ids
    tokenizer.encode_special_tokens = False
    assert 128_258 in ids
    ids = [token_id for token_id in ids if token_id < 128_000]
    assert "<custom_token_3>" in tokenizer.decode(ids)
    kept = to_token_ids([FRAME], ENGLISH.layout)
    assert text.write((*template.before, *ids, *template.after, *kept)) == (
        "<custom_token_3><|begin_of_text|>tara: Say ,  and : é, 你."
        "<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"
        "<custom_token_10><custom_token_4107><custom_token_8204><custom_token_12301>"
        "<custom_token_16398><custom_token_20495><custom_token_28681>"
    )
    assert first_custom_id(ENGLISH) == 128_256


def test_a_text_without_control_tokens_is_read_as_the_same_ids(tokenizer: Tokenizer) -> None:
    text = PromptText(ENGLISH, tokenizer)
    assert tuple(tokenizer.encode(text.write(text.sample)).ids) == text.sample
    assert "tara: Hello there." in text.write(text.sample)


def test_a_tokenizer_that_splits_at_spaces() -> None:
    text = PromptText(POCKET, load_tokenizer(POCKET_FOLDER))
    assert text.write((1, 5, 19, 25, 2, 3, 96)) == "<bos> rms: h n <eot> <sos> <custom_token_10>"


def test_a_tokenizer_without_such_a_text() -> None:
    other = replace(POCKET, prompt=replace(POCKET.prompt, before=(0, 979)))
    with pytest.raises(StartError, match="pocket cannot be written as text"):
        PromptText(other, Tokenizer(models.WordLevel({"a": 0, "b": 979}, unk_token="a")))
