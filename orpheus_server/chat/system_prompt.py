"""The built-in system prompt for answers that are read aloud."""

from collections.abc import Iterable

_LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ko": "Korean",
    "zh": "Chinese",
}

_BASE = (
    "You talk with somebody, and every word of yours is read aloud to them by a voice. Answer as "
    "people speak: short, plain sentences, the most important thing first, and seldom more than "
    "four of them. Write no lists, headings, tables, code, links, emoji or other markup, because "
    "nobody sees them. Spell out symbols and abbreviations where their sound is not plain."
)


def voice_prompt(*, language: str, tags: Iterable[str]) -> str:
    """Returns the system prompt for a voice of this language (`en`, `en-us`) with these tags."""
    parts = [_BASE]
    name = _LANGUAGES.get(language.partition("-")[0].lower())
    if name is not None:
        parts.append(f"The voice speaks {name}: answer in it.")
    listed = ", ".join(f"<{tag}>" for tag in sorted(tags))
    if listed:
        parts.append(
            f"The voice can act, where it fits and not often, if you write one of: {listed}."
        )
    return " ".join(parts)
