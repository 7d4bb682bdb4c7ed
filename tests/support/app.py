"""The server over the fakes: a real `Runtime`, pipeline and app, with no torch and no vLLM."""

import asyncio
import math
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Scope
from tokenizers import Tokenizer, models, pre_tokenizers

from orpheus_server.app import create_app
from orpheus_server.audio.samples import empty
from orpheus_server.audio.tempo import TempoFilter
from orpheus_server.audio.trimming import EdgeTrimmer
from orpheus_server.chat.selection import ChatModelConfig
from orpheus_server.checkpoints.checkpoint import Checkpoint, TokenLayout
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.concurrency import WorkerPool
from orpheus_server.fakes import Script, ScriptedEngine, ToneDecoder, frame_ids, speech_script
from orpheus_server.interfaces import ChatModel, Samples, TokenRequest
from orpheus_server.runtime.serving_config import POCKET_FOLDER, ServingConfig
from orpheus_server.runtime.speech_stack import SpeechStack
from orpheus_server.runtime.state import Runtime
from orpheus_server.settings import Settings
from orpheus_server.synthesis.attempt import AttemptRunner
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
from orpheus_server.synthesis.frames import FrameAssembler
from orpheus_server.synthesis.job import SpeechParams
from orpheus_server.synthesis.prompts import PromptBuilder, load_tokenizer
from orpheus_server.text.front_end import LETTERS, FrontEnd, PhonemeFrontEnd, PreparedText

POCKET = load_speech_json(POCKET_FOLDER)
PARAMS = SpeechParams(POCKET.default_voice, POCKET.sampling, response_format="pcm", seed=7)

REQUEST_ID = re.compile(r"req_[0-9a-f]{24}")
WAIT_LIMIT_SEC = 10.0
"""Reached only by a test that fails."""

ANY_BODY = {
    "input": "Hi.",
    "message": "Hi.",
    "prompt": "Hi.",
    "messages": [{"role": "user", "content": "Hi."}],
}
"""Enough for every route: what one does not know, it tolerates."""

_LAYOUT = POCKET.layout
_NUM_WORKERS = 2


def speech_ids(num_frames: int) -> tuple[int, ...]:
    """Sound frames of the pocket voice without an end."""
    return speech_script(_LAYOUT, num_frames).token_ids[:-1]


def loop_script(num_good_frames: int) -> Script:
    """Speech that falls into repeating its last frame, and would never end."""
    ids = speech_ids(num_good_frames)
    return Script((*ids, *ids[-7:] * 40), hangs_at_end=True)


def loop_from(start: int, num_good_frames: int) -> Script:
    """The same behind frames that were kept."""
    script = loop_script(num_good_frames)
    return replace(script, token_ids=script.token_ids[start * _LAYOUT.num_slots :])


def stall_script(num_good_frames: int) -> Script:
    """Speech that falls into frames of which only the first code changes, and would never end."""
    stalled = [frame_ids(_LAYOUT, (index, 1, 1, 1, 1, 1, 1)) for index in range(40)]
    ids = [token_id for frame in stalled for token_id in frame]
    return Script((*speech_ids(num_good_frames), *ids), hangs_at_end=True)


def runaway_script() -> Script:
    """Speech that goes on and on."""
    return Script(speech_ids(400), hangs_at_end=True)


def short_script(num_frames: int) -> Script:
    """Speech that stops after so many frames."""
    return speech_script(_LAYOUT, num_frames)


def speech_from(start: int, end: int) -> Script:
    """The frames of `short_script(end)` from `start` on."""
    return speech_script(_LAYOUT, end - start, start=start)


def endless_script(num_frames: int) -> Script:
    """Speech that the engine itself ends for its length."""
    return Script(speech_ids(num_frames), finish_reason="length")


def garbled_script(num_frames: int, *, num_missing: int) -> Script:
    """Speech that lacks the fourth token of its first frames."""
    ids = list(speech_ids(num_frames))
    for index in reversed(range(num_missing)):
        del ids[index * 7 + 3]
    return Script((*ids, _LAYOUT.stop_token_ids[0]))


def held_script(script: Script, gate: asyncio.Event, *, num_free_frames: int = 0) -> Script:
    """The script, which waits for the gate after so many frames."""
    return replace(script, gate=gate, gate_at=num_free_frames * _LAYOUT.num_slots)


async def tones_of(script: Script, *, num_frames: int | None = None) -> Samples:
    """What the codec makes of a script's frames, or of the first of them."""
    frames = FrameAssembler(_LAYOUT).feed(script.token_ids)[:num_frames]
    utterance = ToneDecoder().open_utterance(noise_seed=0, deadline=no_deadline)
    return np.concatenate([await utterance.feed(frames), await utterance.flush()])


def smooth_chunk(samples: Samples, *, sample_rate: int) -> Samples:
    """All samples of a chunk through the edge trimmer at once."""
    trimmer = EdgeTrimmer(sample_rate=sample_rate)
    return np.concatenate([trimmer.feed(samples), trimmer.flush()])


def change_tempo(samples: Samples, *, speed: float, sample_rate: int) -> Samples:
    """All samples at once at `speed` times the pace."""
    if speed == 1.0:
        return samples
    tempo = TempoFilter(speed=speed, sample_rate=sample_rate)
    return np.concatenate([tempo.feed(samples), tempo.flush()])


async def heard_of(script: Script, *, num_frames: int | None = None) -> Samples:
    """What a listener hears of a chunk that was spoken by this script, or of its first frames."""
    tones = await tones_of(script, num_frames=num_frames)
    return smooth_chunk(tones, sample_rate=ToneDecoder.sample_rate)


def no_deadline(start: int) -> float:
    """Of sound that nobody waits for."""
    return math.inf


def join_pieces(pieces: list[Samples]) -> Samples:
    """Samples that came in pieces, none of which may be empty."""
    assert all(piece.size for piece in pieces)
    return np.concatenate([empty(), *pieces])


@dataclass
class VirtualTimer:
    """One call that is due at a time."""

    at_sec: float
    callback: Callable[[], None]
    is_over: bool = False

    def cancel(self) -> None:
        """It is not called any more."""
        self.is_over = True


@dataclass
class VirtualClock:
    """Seconds that only the test moves, and the timers that wait for them."""

    now_sec: float = 100.0
    timers: list[VirtualTimer] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_sec

    def call_later(self, delay_sec: float, callback: Callable[[], None]) -> VirtualTimer:
        """As an event loop does it."""
        timer = VirtualTimer(self.now_sec + delay_sec, callback)
        self.timers.append(timer)
        return timer

    @property
    def num_waiting(self) -> int:
        """Timers that are still to be called."""
        return sum(not timer.is_over for timer in self.timers)

    def advance(self, seconds: float) -> None:
        """Moves on, and calls what is due."""
        self.now_sec += seconds
        for timer in self.timers:
            if not timer.is_over and timer.at_sec <= self.now_sec + 1e-9:
                timer.is_over = True
                timer.callback()


@dataclass
class Listener:
    """Takes what a buffer has as it comes, in a task of its own."""

    buffer: ChunkBuffer
    whole: bool = False
    pieces: list[Samples] = field(default_factory=list)

    async def listen(self) -> Samples:
        """To the end; raises what the buffer does."""
        async with aclosing(self.buffer.take(whole=self.whole)) as pieces:
            async for samples in pieces:
                self.pieces.append(samples)
        return self.samples

    @property
    def samples(self) -> Samples:
        """What was heard so far."""
        return join_pieces(self.pieces)


@dataclass(frozen=True)
class Spelled:
    """Phonemes of a text that loses nothing."""

    symbols: tuple[str, ...]
    num_lost_words: int = 0


class LetterPhonemizer:
    """A phoneme for each letter or digit and one stop: 32 of them are 30 frames."""

    def phonemize(self, text: str) -> Spelled:
        """Letters that are phonemes of the pocket voice too stay; the others become one vowel."""
        letters = [char for char in text.lower() if char.isalnum()]
        sounds = [letter if letter in "bdfhijklmnpstuvwz" else "æ" for letter in letters]
        return Spelled((*sounds, ".") if sounds else ())


@dataclass
class CountingPhonemizer:
    """`LetterPhonemizer`, with the texts of its calls and the threads that called it."""

    texts: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def phonemize(self, text: str) -> Spelled:
        self.texts.append(text)
        self.threads.add(threading.get_ident())
        return LetterPhonemizer().phonemize(text)


POCKET_FRONT_END = PhonemeFrontEnd(LetterPhonemizer())


async def chunks_of(*texts: str) -> AsyncGenerator[PreparedText, None]:
    """Chunks for the pocket voice, all of them there from the start."""
    for text in texts:
        yield POCKET_FRONT_END.prepare(text)


def num_expected_frames(num_phonemes: int) -> float:
    """80 ms a phoneme (front_end.py), 85.33 ms a frame."""
    return num_phonemes * 0.08 * 24_000 / 2048


def kept_ids_of(request: TokenRequest, layout: TokenLayout = _LAYOUT) -> tuple[int, ...]:
    """The audio ids at the end of a prompt."""
    first, num = layout.audio_token_base, layout.num_slots * layout.codebook_size
    ids = reversed(request.prompt_token_ids)
    kept = [*takewhile(lambda token_id: first <= token_id < first + num, ids)]
    return tuple(reversed(kept))


def fitting_speech(checkpoint: Checkpoint) -> Callable[[TokenRequest], Script]:
    """Speech as long as the prompt asks for; behind frames that were kept, the rest of it."""
    layout, template = checkpoint.layout, checkpoint.prompt

    def script(request: TokenRequest) -> Script:
        num_kept_ids = len(kept_ids_of(request, layout))
        num_text = len(request.prompt_token_ids) - num_kept_ids
        num_text -= len(template.before) + len(template.after)
        start = num_kept_ids // layout.num_slots
        num_frames = round(num_expected_frames(num_text)) - start
        return speech_script(layout, max(1, num_frames), start=start)

    return script


def letter_tokenizer() -> Tokenizer:
    """One id a character, and the published control tokens; everything else is unknown."""
    alphabet = {chr(code): code - 31 for code in range(32, 127)}
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, **alphabet}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer


def build_prompts(checkpoint: Checkpoint) -> PromptBuilder:
    """Prompts of the bundled voice with its own tokenizer, of others with `letter_tokenizer`."""
    reads_letters = checkpoint.text_frontend == "none"
    tokenizer = letter_tokenizer() if reads_letters else load_tokenizer(POCKET_FOLDER)
    return PromptBuilder(checkpoint, tokenizer)


def front_end_of(checkpoint: Checkpoint) -> FrontEnd:
    """The front end of a checkpoint, with `LetterPhonemizer` where it reads phonemes."""
    return LETTERS if checkpoint.text_frontend == "none" else POCKET_FRONT_END


@dataclass
class Bench:
    """A runner of the pocket voice over the fakes.

    `scripts` are by request id, because the halves of a chunk reach the engine in any order.
    """

    engine: ScriptedEngine
    decoder: ToneDecoder
    pool: WorkerPool
    runner: AttemptRunner
    scripts: dict[str, Script]

    async def settle(self) -> None:
        """Lets everything run that can, in the pool too.

        All workers meet each time: one that was suspended in the middle of a call has ended it.
        """
        for _ in range(20):
            meeting = threading.Barrier(_NUM_WORKERS, timeout=WAIT_LIMIT_SEC)
            await asyncio.gather(*(self.pool.run(meeting.wait) for _ in range(_NUM_WORKERS)))
            await settle()


@asynccontextmanager
async def open_bench(
    *, one_at_a_time: bool = False, decoder: ToneDecoder | None = None
) -> AsyncIterator[Bench]:
    """A bench whose requests without a script get fitting speech."""
    scripts: dict[str, Script] = {}
    fitting = fitting_speech(POCKET)
    engine = ScriptedEngine(lambda request: scripts.get(request.request_id) or fitting(request))
    decoder, pool = decoder or ToneDecoder(), WorkerPool(_NUM_WORKERS)
    runner = AttemptRunner(
        POCKET.layout,
        build_prompts(POCKET),
        engine,
        decoder,
        pool,
        one_at_a_time=one_at_a_time,
    )
    try:
        yield Bench(engine, decoder, pool, runner, scripts)
        assert engine.num_active == 0, "a generation was left in the engine"
    finally:
        await pool.close()


@dataclass
class FakeServer:
    """`with server.client() as client`: the app over the fakes, which stay at hand for scripts.

    With `is_loaded=False` it stays as it is while the model loads. `chat` is its language model.
    The settings are the defaults, whatever the environment holds.
    """

    checkpoint: Checkpoint = POCKET
    settings: Settings = field(default_factory=Settings.model_construct)
    is_loaded: bool = True
    chat: ChatModel | None = None
    engine: ScriptedEngine = field(init=False)
    decoder: ToneDecoder = field(init=False, default_factory=ToneDecoder)
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        self.engine = ScriptedEngine(fitting_speech(self.checkpoint))

    @asynccontextmanager
    async def open_runtime(self, settings: Settings) -> AsyncIterator[Runtime]:
        """For `create_app`."""
        config = ServingConfig(
            checkpoint=self.checkpoint,
            is_cuda=False,
            dtype="float32",
            codec_device="cpu",
            max_model_len=8192,
            max_num_seqs=32,
            max_workers=2,
            why="a test asked for it",
            chat=None if self.chat is None else ChatModelConfig("echo", self.chat.info.name),
        )
        self.runtime = runtime = Runtime(settings, config)
        pool = WorkerPool(config.max_workers)
        prompts = build_prompts(self.checkpoint)
        front_end = front_end_of(self.checkpoint)
        speech = SpeechStack(
            front_end, prompts, self.engine, self.decoder, pool, lambda: self.engine
        )
        synthesizer = runtime.assemble(speech)
        if self.is_loaded:
            runtime.open_for_requests(self.engine, synthesizer)
            if self.chat is not None:
                runtime.open_chat(self.chat)
        try:
            yield runtime
        finally:
            runtime.close_for_requests()
            await pool.close()

    def build_app(self) -> FastAPI:
        """The app, which opens the runtime when it starts."""
        return create_app(self.settings, open_runtime=self.open_runtime)

    @contextmanager
    def client(self, *, peer: str = "127.0.0.1", host: str = "127.0.0.1") -> Iterator[TestClient]:
        """A client of the running app at the address `peer`, which asks for the name `host`;
        afterwards nothing is left in the engine.
        """
        client = TestClient(
            self.build_app(),
            base_url="http://127.0.0.1",
            # A WebSocket of this client would ask for "testserver".
            headers={"host": host},
            client=(peer, 50_000),
        )
        with client:
            yield client
            assert self.engine.num_active == 0
            assert self.chat is None or self.chat.num_active == 0


async def call_by_hand(
    app: ASGIApp, messages: asyncio.Queue[Message], **changes: object
) -> list[Message]:
    """What the app sends to `POST /v1/audio/speech`, which arrives as these messages."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/audio/speech",
        "raw_path": b"/v1/audio/speech",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        **changes,
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, messages.get, send)
    return sent


async def wait_for(condition: Callable[[], bool]) -> None:
    """Lets other tasks run until the condition holds."""
    async with asyncio.timeout(WAIT_LIMIT_SEC):
        while not condition():  # noqa: ASYNC110 - nothing sets an event for it
            await asyncio.sleep(0)


async def settle() -> None:
    """Lets everything run that can without a thread."""
    for _ in range(5):
        await asyncio.sleep(0)


def other_tasks() -> set[asyncio.Task[object]]:
    """All tasks but the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def pcm_samples(body: bytes) -> npt.NDArray[np.int16]:
    """Samples of a `pcm` answer."""
    return np.frombuffer(body, dtype="<i2")
