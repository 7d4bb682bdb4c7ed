"""`API_KEYS`: the valid keys and their names; only the digest of each key is kept."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from orpheus_server.errors import StartError

MIN_KEY_CHARS = 8

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_KEY = re.compile(r"[!-+\--~]+")  # printable ASCII without space and comma


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The names of the keys and their SHA-256 digests."""

    entries: tuple[tuple[str, bytes], ...] = field(repr=False)

    def name_of(self, token: str) -> str | None:
        """Returns the name of this key, or None if it is unknown, in constant time."""
        digest = _digest(token)
        found = None
        for name, own in self.entries:
            if hmac.compare_digest(own, digest):
                found = name
        return found


def parse_api_keys(text: str) -> ApiKeys:
    """Parses a comma-separated list of `key` or `name:key`; a key without a name is called `key1`,
    `key2`, ... by its position.

    Raises `StartError`, whose message names the position and never contains any of the text.
    """
    digests: dict[str, bytes] = {}
    for position, part in enumerate(text.split(","), start=1):
        name, key = _split(part.strip(), position)
        digest = _digest(key)
        if name in digests:
            raise _bad(position, "its name is already used by an earlier entry")
        if digest in digests.values():
            raise _bad(position, "the same key is already in an earlier entry")
        digests[name] = digest
    return ApiKeys(tuple(digests.items()))


def _split(entry: str, position: int) -> tuple[str, str]:
    name, colon, key = entry.partition(":")
    if not colon:
        name, key = f"key{position}", entry
    if not entry:
        raise _bad(position, "it is empty; write 'key' or 'name:key', separated by commas")
    if _NAME.fullmatch(name) is None:
        raise _bad(position, "the name before ':' may hold letters, digits and '_.-' only")
    if key and _KEY.fullmatch(key) is None:
        raise _bad(position, "a key is printable ASCII without spaces")
    if len(key) < MIN_KEY_CHARS:
        raise _bad(position, f"a key has at least {MIN_KEY_CHARS} characters, this one {len(key)}")
    return name, key


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _bad(position: int, reason: str) -> StartError:
    return StartError(f"API_KEYS=(hidden), entry {position}: {reason}.")
