"""The form of a sentence that decides whether it is held out."""

import hashlib
import re

NOT_PLAIN = re.compile(r"[^a-z0-9]+")


def normalise(text: str) -> str:
    """Returns lower-case letters, digits and single blanks: "It's 5!" gives "it s 5"."""
    return NOT_PLAIN.sub(" ", text.lower()).strip()


def text_hash(text: str) -> int:
    """Returns a number that depends on the normalised text only: the same on every machine."""
    return int.from_bytes(hashlib.sha256(normalise(text).encode()).digest()[:8], "big")
