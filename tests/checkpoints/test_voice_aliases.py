"""Names by which clients address voices: the operator's, OpenAI's and Groq's."""

from dataclasses import replace

import pytest

from orpheus_server.checkpoints.checkpoint import GROQ_VOICES, Checkpoint, Voice
from orpheus_server.checkpoints.published import ENGLISH, PUBLISHED
from orpheus_server.checkpoints.voice_aliases import add_voice_aliases
from orpheus_server.errors import StartError
from tests.support.app import POCKET


def name_of(checkpoint: Checkpoint, alias: str) -> str | None:
    voice = checkpoint.find_voice(alias)
    return voice.name if voice else None


def test_aliases() -> None:
    checkpoint = add_voice_aliases(ENGLISH, " Narrator = tara, alloy=LEO ,boss=onyx,, ")
    names = {name: name_of(checkpoint, name) for name in ("narrator", "ALLOY", "boss", "echo")}
    onyx, echo = name_of(ENGLISH, "onyx"), name_of(ENGLISH, "echo")
    assert names == {"narrator": "tara", "ALLOY": "leo", "boss": onyx, "echo": echo}
    assert checkpoint.voice_aliases["narrator"] == "tara"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("narrator", "TTS_VOICE_ALIASES='narrator': must be name=voice."),
        ("a=tara,=leo", "TTS_VOICE_ALIASES='=leo': must be name=voice."),
        ("a=", "TTS_VOICE_ALIASES='a=': must be name=voice."),
        (
            "Tara=leo",
            "TTS_VOICE_ALIASES='Tara=leo': 'Tara' is a voice of orpheus-3b-0.1-ft.",
        ),
        (
            "a=nobody",
            "TTS_VOICE_ALIASES='a=nobody': 'nobody' is not a voice of orpheus-3b-0.1-ft; it has "
            "tara, leah, jess, leo, dan, mia, zac, zoe.",
        ),
    ],
)
def test_bad_aliases(setting: str, message: str) -> None:
    with pytest.raises(StartError) as caught:
        add_voice_aliases(ENGLISH, setting)
    assert str(caught.value) == message


@pytest.mark.parametrize("checkpoint", [ENGLISH, POCKET], ids=["english", "pocket"])
def test_groqs_voices_on_an_english_checkpoint(checkpoint: Checkpoint) -> None:
    """Female names are female voices; none is listed as an alias."""
    sexes = {voice.name: voice.description.split(",")[0] for voice in checkpoint.voices}
    found = {name: sexes[name_of(checkpoint, name) or ""] for name in GROQ_VOICES}
    assert found == {
        **dict.fromkeys(("autumn", "diana", "hannah"), "female"),
        **dict.fromkeys(("austin", "daniel", "troy"), "male"),
    }
    assert not GROQ_VOICES.keys() & checkpoint.voice_aliases.keys()


def test_groqs_voices_on_other_checkpoints() -> None:
    for checkpoint in PUBLISHED:
        if not checkpoint.is_english:
            assert [name for name in GROQ_VOICES if checkpoint.find_voice(name)] == []


def test_an_english_checkpoint_without_openais_names() -> None:
    checkpoint = replace(ENGLISH, voice_aliases={})
    assert name_of(checkpoint, "hannah") == "tara"


def test_a_voice_of_that_name_comes_first() -> None:
    """An alias of the same name hid the voice."""
    voices = (*ENGLISH.voices, Voice("Hannah", "en"), Voice("Alloy", "en"))
    checkpoint = replace(ENGLISH, voices=voices)
    assert [name_of(checkpoint, name) for name in ("hannah", "alloy")] == ["Hannah", "Alloy"]
    checkpoint = add_voice_aliases(ENGLISH, "hannah=leo")
    assert name_of(checkpoint, "hannah") == "leo"
