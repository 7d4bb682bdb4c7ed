"""`speech.json`."""

import pytest

from orpheus_server.checkpoints.checkpoint import OPENAI_VOICES
from training.language_model.vocabulary import Vocabulary
from training.package.description import VoiceDescription, describe


def aliases_of(*voices: VoiceDescription) -> dict[str, str]:
    vocabulary = Vocabulary(tuple(voice.name for voice in voices), 8)
    speech = describe("tiny", vocabulary, voices, num_parameters=0, sampling={})
    aliases: dict[str, str] = speech["aliases"]
    return aliases


@pytest.mark.parametrize(
    ("description", "sex"),
    [("warm American woman", "female"), ("Deep man.", "male"), ("a human voice", None)],
)
def test_the_sex_is_a_word_of_the_description(description: str, sex: str | None) -> None:
    assert VoiceDescription("ann", "en-us", description).sex == sex


def test_each_voice_of_openai_has_one_of_its_sex() -> None:
    aliases = aliases_of(
        VoiceDescription("ann", "en-us", "woman"),
        VoiceDescription("bob", "en-us", "man"),
        VoiceDescription("joy", "en-us", "woman"),
    )
    assert aliases.keys() == set(OPENAI_VOICES)
    assert (aliases["alloy"], aliases["coral"], aliases["onyx"]) == ("ann", "joy", "bob")


def test_voices_without_a_sex_have_aliases_too() -> None:
    assert set(aliases_of(VoiceDescription("ann", "en-us", "clear")).values()) == {"ann"}


def test_a_voice_keeps_its_own_name() -> None:
    assert "alloy" not in aliases_of(VoiceDescription("alloy", "en-us", "woman"))


def test_the_parameters_are_rounded() -> None:
    voices = [VoiceDescription("ann", "en-us", "")]
    speech = describe(
        "tiny", Vocabulary(("ann",), 8), voices, num_parameters=6_240_000, sampling={}
    )
    assert speech["parameters"] == "6.2M"
    assert speech["codebook_size"] == 8
