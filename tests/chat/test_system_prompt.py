"""The built-in system prompt for answers that are read aloud."""

import pytest

from orpheus_server.chat.system_prompt import voice_prompt


def test_language_and_tags() -> None:
    prompt = voice_prompt(language="de", tags=["sigh", "laugh"])
    assert prompt.startswith("You talk with somebody, and every word of yours is read aloud")
    assert " The voice speaks German: answer in it." in prompt
    assert prompt.endswith(" if you write one of: <laugh>, <sigh>.")


def test_the_order_of_the_tags_does_not_matter() -> None:
    """Sets are unordered; a different prompt at every start would miss the caches of servers."""
    tags = ["gasp", "chuckle", "yawn"]
    assert voice_prompt(language="en", tags=tags) == voice_prompt(language="en", tags=tags[::-1])


@pytest.mark.parametrize("language", ["", "xx"])
def test_a_language_without_a_name(language: str) -> None:
    prompt = voice_prompt(language=language, tags=())
    assert "The voice" not in prompt
    assert prompt.endswith("Spell out symbols and abbreviations where their sound is not plain.")
