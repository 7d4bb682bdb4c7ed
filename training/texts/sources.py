"""What the texts and their phonemes come from, with licences, for the NOTICE of a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

WORDNET_LICENCE_FILE = Path(__file__).with_name("wordnet_licence.txt")


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    use: str
    licence: str
    url: str
    notice: str
    """The text that the licence asks to copy."""


def sources() -> tuple[Source, ...]:
    """Returns the sources, apart from the project's own frames, lists and rules (Apache-2.0)."""
    return (
        Source(
            name="WordNet 3.0",
            use="example sentences and common words in the training texts",
            licence="WordNet licence",
            url="https://wordnet.princeton.edu/license-and-commercial-use",
            notice=WORDNET_LICENCE_FILE.read_text(encoding="utf-8"),
        ),
        Source(
            name="gruut 2 and its English lexicon",
            use="phonemes of the training texts",
            licence="MIT",
            url="https://github.com/rhasspy/gruut",
            notice="Copyright (c) 2020 Michael Hansen",
        ),
    )
