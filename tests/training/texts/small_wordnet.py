"""A WordNet of a few dozen words, in the files' own format."""

from collections.abc import Sequence
from pathlib import Path

NOUNS = (
    *("apple", "bridge", "candle", "doctor", "engine", "forest", "garden", "harbor", "island"),
    *("jacket", "kitchen", "ladder", "market", "needle", "orange", "pencil", "quarry", "river"),
)
VERBS = ("carry", "dance", "follow", "gather", "listen", "measure", "travel", "whisper")
ADJECTIVES = ("ancient", "bright", "gentle", "modern", "narrow", "silent")
ADVERBS = ("calmly", "gladly", "rarely", "slowly")
EXAMPLES = {
    "noun": [
        f"he saw {number} {adj} {noun}s"
        for number in range(2, 32)
        for adj in ADJECTIVES
        for noun in NOUNS
    ]
    + [f"where is the {noun}?" for noun in NOUNS]
    + [f"look at this {noun}!" for noun in NOUNS],
    "verb": [
        f"They {verb} near the {adj} {noun} at night"
        for verb in VERBS
        for adj in ADJECTIVES
        for noun in NOUNS
    ],
    "adj": [f"it was {adjective}; nobody knew why" for adjective in ADJECTIVES],
    "adv": [f"she is {adverb} walking home" for adverb in ADVERBS],
}
LICENCE = "  1 This software and database is being provided to you\n"


def synset_line(part: str, words: Sequence[str], gloss: str) -> str:
    """Returns a line of data.<part>: offset, file, type, words, one pointer, frames, gloss."""
    pairs = " ".join(f"{word} 0" for word in words)
    frames = "01 + 02 00 " if part == "verb" else ""
    return f"00001740 06 n {len(words):02x} {pairs} 001 @ 00001234 n 0000 {frames}| {gloss}  \n"


def write_wordnet(folder: Path) -> Path:
    """Writes the files that are read into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = ""
    parts = {"noun": NOUNS, "verb": VERBS, "adj": ADJECTIVES, "adv": ADVERBS}
    for key, (part, words) in enumerate(parts.items(), start=1):
        quoted = "; ".join(f'"{example}"' for example in EXAMPLES[part])
        lines = [synset_line(part, [word], f"what a {word} is") for word in words]
        lines.append(synset_line(part, [f"rare{part}"], f"a word with examples; {quoted}"))
        (folder / f"data.{part}").write_text(LICENCE + "".join(lines))
        counts += "".join(f"{word}%{key}:06:00:: 1 5\n" for word in words)
    (folder / "cntlist.rev").write_text(counts)
    return folder
