"""The requests of a soak: a random mix that its seed determines."""

import json
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from orpheus_server.bench.client.exchange import Behaviour
from orpheus_server.bench.client.texts import text_for

Kind = Literal[
    "pcm",
    "mp3",
    "opus",
    "flac",
    "aac",
    "wav",
    "sse",
    "socket",
    "slow reader",
    "cut",
    "hang up",
    "half body",
    "bad input",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_PER_MILLE: dict[Kind, int] = {
    "pcm": 365,
    "mp3": 60,
    "opus": 60,
    "flac": 60,
    "aac": 60,
    "wav": 100,
    "sse": 100,
    "socket": 90,
    "slow reader": 20,
    "cut": 50,
    "hang up": 10,
    "half body": 10,
    "bad input": 15,
}
_MOST_CUT_BYTES = {"pcm": 60_000, "mp3": 8_000, "opus": 4_000}
_SHARE_OF_SHORT_TEXTS = 0.7
_NUM_TEXTS = 1000


@dataclass(frozen=True, slots=True)
class Mistake:
    """An invalid body, and the status with which it must be rejected."""

    name: str
    body: bytes
    status: int
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class ScriptedUtterance:
    """One utterance of a WebSocket session."""

    text: str
    cancel_byte: int | None
    """The utterance is cancelled after this many bytes of its audio; None for never."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request or session of a user."""

    kind: Kind
    text: str
    response_format: str
    seed: int
    behaviour: Behaviour = Behaviour()
    hold_sec: float = 0.0
    """Seconds between sending half the body and hanging up."""

    mistake: Mistake | None = None
    utterances: tuple[ScriptedUtterance, ...] = ()


@dataclass(frozen=True, slots=True)
class Mix:
    """Draws the requests at random."""

    seed: int
    model: str = "tts-1"
    voice: str = "alloy"
    max_input_chars: int = 32_768
    """The server's limit, above which a text must be rejected; 0 for no limit."""

    def ask(self, index: int) -> Ask:
        """Returns the request with this index, which does not depend on the user."""
        chance = Random(f"{self.seed}-{index}")
        (kind,) = chance.choices(KINDS, [_PER_MILLE[kind] for kind in KINDS])
        length: Literal["short", "medium"] = (
            "short" if chance.random() < _SHARE_OF_SHORT_TEXTS else "medium"
        )
        text = text_for(length, chance.randrange(_NUM_TEXTS))
        seed = self.seed + index
        match kind:
            case "mp3" | "opus" | "flac" | "aac" | "wav":
                return Ask(kind, text, kind, seed)
            case "cut":
                form = chance.choice(list(_MOST_CUT_BYTES))
                cut_byte = chance.randint(1, _MOST_CUT_BYTES[form])
                cut = Behaviour(cut_byte=cut_byte, resets=chance.random() < 0.5)
                return Ask(kind, text, form, seed, cut)
            case "hang up":
                leave = Behaviour(hang_up_sec=chance.uniform(0.005, 0.3))
                return Ask(kind, text, "pcm", seed, leave)
            case "slow reader":
                medium = text_for("medium", chance.randrange(_NUM_TEXTS))
                return Ask(kind, medium, "pcm", seed, Behaviour(is_slow=True))
            case "half body":
                half = Behaviour(resets=chance.random() < 0.5)
                hold_sec = chance.uniform(0.05, 1.0)
                return Ask(kind, text, "pcm", seed, half, hold_sec=hold_sec)
            case "bad input":
                mistake = chance.choice(self.mistakes())
                return Ask(kind, text, "pcm", seed, mistake=mistake)
            case "socket":
                return Ask(kind, text, "pcm", seed, utterances=_utterances(chance))
            case _:
                return Ask(kind, text, "pcm", seed)

    def body(self, ask: Ask) -> bytes:
        """Returns the body of the request."""
        if ask.mistake is not None:
            return ask.mistake.body
        body: dict[str, object] = {
            "model": self.model,
            "voice": self.voice,
            "input": ask.text,
            "response_format": ask.response_format,
            "seed": ask.seed,
        }
        if ask.kind == "sse":
            body["stream_format"] = "sse"
        elif ask.kind != "wav":
            body["stream"] = True
        return json.dumps(body).encode()

    def mistakes(self) -> list[Mistake]:
        """Returns all kinds of invalid requests."""
        body = {"model": self.model, "voice": self.voice, "input": text_for("short", 0)}
        plain = json.dumps(body).encode()
        found = [
            Mistake("unknown voice", _json({**body, "voice": "nobody-of-this-name"}), 400),
            Mistake("unknown model", _json({**body, "model": "no-model-of-this-name"}), 404),
            Mistake("empty input", _json({**body, "input": ""}), 400),
            Mistake("broken JSON", plain[:-3], 400),
            Mistake("wrong content type", plain, 415, content_type="text/plain"),
        ]
        if self.max_input_chars:
            words = "word " * (self.max_input_chars // 5 + 1)
            found.append(Mistake("input too long", _json({**body, "input": words}), 400))
        return found


def _utterances(chance: Random) -> tuple[ScriptedUtterance, ...]:
    utterances = []
    for _ in range(chance.randint(1, 3)):
        cancel_byte = chance.randint(1, 60_000) if chance.random() < 0.35 else None
        utterances.append(
            ScriptedUtterance(text_for("short", chance.randrange(_NUM_TEXTS)), cancel_byte)
        )
    return tuple(utterances)


def _json(body: dict[str, str]) -> bytes:
    return json.dumps(body).encode()
