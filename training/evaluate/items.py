"""What a checkpoint says in an evaluation: fixed texts, each by fixed voices."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from training.progress import NUM_HELD_OUT
from training.texts.short_answers import SHORT_ANSWERS

HELD_OUT = "held_out"
JUDGE = "judge"
SHORT = "short"

JUDGE_FILE = Path(__file__).with_name("judge.txt")
LONG_TEXT_SENTENCES = 20


@dataclass(frozen=True, slots=True)
class Text:
    """A text with its phonemes; `speakers` are the teacher's two for a held-out one."""

    number: int
    collection: str
    kind: str
    text: str
    symbols: tuple[str, ...]
    speakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A text to be spoken by one voice."""

    key: str
    collection: str
    kind: str
    text: str
    symbols: tuple[str, ...]
    voice: str

    @property
    def seed(self) -> int:
        """The seed of its generation: the same in each run and each setting."""
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:4]) >> 1

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "symbols": list(self.symbols)}


def item_from_json(value: Mapping[str, Any]) -> Item:
    """Reads what `Item.to_json` wrote; other fields are ignored."""
    fields = {name: str(value[name]) for name in ("key", "collection", "kind", "text", "voice")}
    return Item(symbols=tuple(value["symbols"]), **fields)


def read_held_out(utterances: Iterable[Mapping[str, Any]]) -> list[Text]:
    """Returns the held-out texts as the stage `texts` describes them."""
    return [
        Text(
            number=int(each["number"]),
            collection=HELD_OUT,
            kind=str(each["kind"]),
            text=str(each["text"]),
            symbols=tuple(each["symbols"]),
            speakers=tuple(each.get("speakers", ())),
        )
        for each in utterances
    ]


def judge_sentences() -> list[str]:
    """Returns thirty sentences that no model was trained on."""
    return JUDGE_FILE.read_text(encoding="utf-8").split("\n")[:30]


def short_answers() -> list[str]:
    return list(SHORT_ANSWERS)


def voices_for(text: Text, voices: Sequence[str]) -> tuple[str, ...]:
    """Returns who speaks a text: one voice a short answer, two any other text.

    The teacher's two speakers if the checkpoint has both, else two of its voices by the text's
    number, half of the list apart.
    """
    if text.speakers and set(text.speakers) <= set(voices):
        return text.speakers
    size = len(voices)
    first = text.number % size
    if text.collection == SHORT or size == 1:
        return (voices[first],)
    return (voices[first], voices[(first + max(1, size // 2)) % size])


def in_order(texts: Iterable[Text], limit: int | None = None) -> list[Text]:
    """Returns the first texts in the order of their hashes, all without a limit."""
    return sorted(texts, key=lambda each: hashlib.sha256(each.text.encode()).digest())[:limit]


def in_proportion(size: int, num_held_out: int) -> int:
    """Returns how many of a list are spoken with so many held-out texts, at least one."""
    return max(1, ceil(size * min(1.0, num_held_out / NUM_HELD_OUT)))


def to_items(texts: Iterable[Text], voices: Sequence[str]) -> list[Item]:
    """Returns each text once for each of its voices."""
    return [
        Item(
            key=f"{text.collection}/{text.number}/{voice}",
            collection=text.collection,
            kind=text.kind,
            text=text.text,
            symbols=text.symbols,
            voice=voice,
        )
        for text in texts
        for voice in voices_for(text, voices)
    ]
