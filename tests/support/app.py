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
from orpheus_server.checkpoints.checkpoint import Checkpoint, ShortestSpeech, TokenLayout
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
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.front_end import LETTERS, FrontEnd, PhonemeFrontEnd, PreparedText

_BUNDLED = load_speech_json(POCKET_FOLDER)
# The fakes speak chunks of any length.
POCKET = replace(
    _BUNDLED,
    voices=tuple(replace(voice, shortest=ShortestSpeech()) for voice in _BUNDLED.voices),
)
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
"""A valid body for every route; unknown fields are ignored."""

NO_WAIT = Settings.model_construct(tts_queue_wait_sec=0.0)
"""Rejects requests at once instead of letting them wait, for instance while the model loads."""

_LAYOUT = POCKET.layout
_NUM_WORKERS = 2


def speech_ids(num_frames: int) -> tuple[int, ...]:
    """Returns the ids of valid frames of the pocket voice, without a stop."""
    return speech_script(_LAYOUT, num_frames).token_ids[:-1]


def loop_script(num_good_frames: int) -> Script:
    """Speech that repeats its last good frame and never ends."""
    ids = speech_ids(num_good_frames)
    return Script((*ids, *ids[-7:] * 40), hangs_at_end=True)


def loop_from(start: int, num_good_frames: int) -> Script:
    """The rest of `loop_script(num_good_frames)` after kept frames, from `start` on."""
    script = loop_script(num_good_frames)
    return replace(script, token_ids=script.token_ids[start * _LAYOUT.num_slots :])


def stall_script(num_good_frames: int) -> Script:
    """Speech that never ends; after the good frames, only the first code of a frame changes."""
    stalled = [frame_ids(_LAYOUT, (index, 1, 1, 1, 1, 1, 1)) for index in range(40)]
    ids = [token_id for frame in stalled for token_id in frame]
    return Script((*speech_ids(num_good_frames), *ids), hangs_at_end=True)


def runaway_script() -> Script:
    """Speech that is far too long and never ends."""
    return Script(speech_ids(400), hangs_at_end=True)


def short_script(num_frames: int) -> Script:
    """Speech that stops after `num_frames`."""
    return speech_script(_LAYOUT, num_frames)


def speech_from(start: int, end: int) -> Script:
    """The frames of `short_script(end)` from `start`."""
    return speech_script(_LAYOUT, end - start, start=start)


def endless_script(num_frames: int) -> Script:
    """Speech that the engine ends because of its length."""
    return Script(speech_ids(num_frames), finish_reason="length")


def garbled_script(num_frames: int, *, num_missing: int) -> Script:
    """Speech without the fourth token of its first `num_missing` frames."""
    ids = list(speech_ids(num_frames))
    for index in reversed(range(num_missing)):
        del ids[index * 7 + 3]
    return Script((*ids, _LAYOUT.stop_token_ids[0]))


def held_script(script: Script, gate: asyncio.Event, *, num_free_frames: int = 0) -> Script:
    """The script with a pause after `num_free_frames`, until the gate is set."""
    return replace(script, gate=gate, gate_at=num_free_frames * _LAYOUT.num_slots)


async def tones_of(script: Script, *, num_frames: int | None = None) -> Samples:
    """Returns the samples that the codec decodes from the script's first `num_frames`, or all."""
    frames = FrameAssembler(_LAYOUT).feed(script.token_ids)[:num_frames]
    utterance = ToneDecoder().open_utterance(noise_seed=0, deadline=no_deadline)
    return np.concatenate([await utterance.feed(frames), await utterance.flush()])


def smooth_chunk(samples: Samples, *, sample_rate: int) -> Samples:
    """Passes all samples of a chunk through the edge trimmer in one call."""
    trimmer = EdgeTrimmer(sample_rate=sample_rate)
    return np.concatenate([trimmer.feed(samples), trimmer.flush()])


def change_tempo(samples: Samples, *, speed: float, sample_rate: int) -> Samples:
    """Changes the tempo of all samples in one call."""
    if speed == 1.0:
        return samples
    tempo = TempoFilter(speed=speed, sample_rate=sample_rate)
    return np.concatenate([tempo.feed(samples), tempo.flush()])


async def heard_of(script: Script, *, num_frames: int | None = None) -> Samples:
    """Returns the samples that a client receives for a chunk generated by the script."""
    tones = await tones_of(script, num_frames=num_frames)
    return smooth_chunk(tones, sample_rate=ToneDecoder.sample_rate)


def no_deadline(start: int) -> float:
    """The deadline of audio without a listener: never."""
    return math.inf


def join_pieces(pieces: list[Samples]) -> Samples:
    """Joins pieces; asserts that none is empty."""
    assert all(piece.size for piece in pieces)
    return np.concatenate([empty(), *pieces])


@dataclass
class VirtualTimer:
    """A scheduled call."""

    at_sec: float
    callback: Callable[[], None]
    is_over: bool = False

    def cancel(self) -> None:
        """Prevents the call."""
        self.is_over = True


@dataclass
class VirtualClock:
    """A clock that only the test advances, and its timers."""

    now_sec: float = 100.0
    timers: list[VirtualTimer] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_sec

    def call_later(self, delay_sec: float, callback: Callable[[], None]) -> VirtualTimer:
        """Schedules a call, as an event loop does."""
        timer = VirtualTimer(self.now_sec + delay_sec, callback)
        self.timers.append(timer)
        return timer

    @property
    def num_waiting(self) -> int:
        """The number of pending timers."""
        return sum(not timer.is_over for timer in self.timers)

    def advance(self, seconds: float) -> None:
        """Advances the clock and calls the timers that are due."""
        self.now_sec += seconds
        for timer in self.timers:
            if not timer.is_over and timer.at_sec <= self.now_sec + 1e-9:
                timer.is_over = True
                timer.callback()


@dataclass
class Listener:
    """Consumes a buffer in a task."""

    buffer: ChunkBuffer
    whole: bool = False
    pieces: list[Samples] = field(default_factory=list)

    async def listen(self) -> Samples:
        """Reads to the end; raises the errors of the buffer."""
        async with aclosing(self.buffer.take(whole=self.whole)) as pieces:
            async for samples in pieces:
                self.pieces.append(samples)
        return self.samples

    @property
    def samples(self) -> Samples:
        """The samples received so far."""
        return join_pieces(self.pieces)


@dataclass(frozen=True)
class Spelled:
    """Phonemes without lost words."""

    symbols: tuple[str, ...]
    num_lost_words: int = 0


class LetterPhonemizer:
    """One phoneme per letter or digit and one stop; 32 phonemes are 30 frames."""

    def phonemize(self, text: str) -> Spelled:
        """Keeps letters that are phonemes of the pocket voice; replaces others with a vowel."""
        letters = [char for char in text.lower() if char.isalnum()]
        sounds = [letter if letter in "bdfhijklmnpstuvwz" else "æ" for letter in letters]
        return Spelled((*sounds, ".") if sounds else ())


@dataclass
class CountingPhonemizer:
    """A `LetterPhonemizer` that records the texts of its calls and the threads that called it."""

    texts: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def phonemize(self, text: str) -> Spelled:
        self.texts.append(text)
        self.threads.add(threading.get_ident())
        return LetterPhonemizer().phonemize(text)


POCKET_FRONT_END = PhonemeFrontEnd(LetterPhonemizer())


async def chunks_of(*texts: str) -> AsyncGenerator[PreparedText, None]:
    """Yields chunks for the pocket voice without waiting."""
    for text in texts:
        yield POCKET_FRONT_END.prepare(text)


def num_expected_frames(num_phonemes: int) -> float:
    """80 ms per phoneme (front_end.py), 85.33 ms per frame."""
    return num_phonemes * 0.08 * 24_000 / 2048


def kept_ids_of(request: TokenRequest, layout: TokenLayout = _LAYOUT) -> tuple[int, ...]:
    """Returns the audio ids at the end of a prompt."""
    first, num = layout.audio_token_base, layout.num_slots * layout.codebook_size
    ids = reversed(request.prompt_token_ids)
    kept = [*takewhile(lambda token_id: first <= token_id < first + num, ids)]
    return tuple(reversed(kept))


def fitting_speech(checkpoint: Checkpoint) -> Callable[[TokenRequest], Script]:
    """Returns a function from request to script: speech that fits the length of the prompt.

    After kept frames, it is the rest of that speech.
    """
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
    """One id per ASCII character; everything else is unknown."""
    alphabet = {chr(code): code - 31 for code in range(32, 127)}
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, **alphabet}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer


def build_prompts(checkpoint: Checkpoint) -> PromptBuilder:
    """Prompts of the bundled voice use its tokenizer, others use `letter_tokenizer`."""
    reads_letters = checkpoint.text_frontend == "none"
    tokenizer = letter_tokenizer() if reads_letters else load_tokenizer(POCKET_FOLDER)
    return PromptBuilder(checkpoint, tokenizer)


def front_end_of(checkpoint: Checkpoint) -> FrontEnd:
    """Returns the front end of a checkpoint, with `LetterPhonemizer` if it needs phonemes."""
    return LETTERS if checkpoint.text_frontend == "none" else POCKET_FRONT_END


@dataclass
class Bench:
    """An attempt runner of the pocket voice over the fakes.

    `scripts` are keyed by request id, because the halves of a chunk reach the engine in any order.
    """

    engine: ScriptedEngine
    decoder: ToneDecoder
    pool: WorkerPool
    runner: AttemptRunner
    scripts: dict[str, Script]

    async def settle(self) -> None:
        """Lets all tasks and pool calls run that can.

        All workers meet in each round, so that calls that were suspended have ended.
        """
        for _ in range(20):
            meeting = threading.Barrier(_NUM_WORKERS, timeout=WAIT_LIMIT_SEC)
            await asyncio.gather(*(self.pool.run(meeting.wait) for _ in range(_NUM_WORKERS)))
            await settle()


@asynccontextmanager
async def open_bench(
    *, one_at_a_time: bool = False, decoder: ToneDecoder | None = None
) -> AsyncIterator[Bench]:
    """Opens a bench whose requests without a script get speech of fitting length."""
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
    """`with server.client() as client`: the app over the fakes, which a test can script.

    With `is_loaded=False` the models are loading until `load` is called. `chat` is the language
    model. The settings are the defaults, whatever the environment contains.
    """

    checkpoint: Checkpoint = POCKET
    settings: Settings = field(default_factory=Settings.model_construct)
    is_loaded: bool = True
    chat: ChatModel | None = None
    engine: ScriptedEngine = field(init=False)
    decoder: ToneDecoder = field(init=False, default_factory=ToneDecoder)
    runtime: Runtime = field(init=False)
    _synthesizer: Synthesizer = field(init=False)

    def __post_init__(self) -> None:
        self.engine = ScriptedEngine(fitting_speech(self.checkpoint))

    @asynccontextmanager
    async def open_runtime(self, settings: Settings) -> AsyncIterator[Runtime]:
        """Opens the runtime, as `create_app` expects it."""
        config = ServingConfig(
            checkpoint=self.checkpoint,
            is_cuda=False,
            dtype="float32",
            codec_device="cpu",
            max_model_len=8192,
            max_num_seqs=32,
            max_workers=2,
            is_eager=True,
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
        self._synthesizer = runtime.assemble(speech)
        if self.is_loaded:
            self.load()
        try:
            yield runtime
        finally:
            runtime.close_for_requests()
            await pool.close()

    def load(self) -> None:
        """Finishes loading, the voice first."""
        self.load_voice()
        if self.chat is not None:
            self.runtime.open_chat(self.chat)

    def load_voice(self) -> None:
        """Finishes loading the voice alone."""
        self.runtime.open_for_requests(self.engine, self._synthesizer)

    def build_app(self) -> FastAPI:
        """Builds the app, which opens the runtime when it starts."""
        return create_app(self.settings, open_runtime=self.open_runtime)

    @contextmanager
    def client(self, *, peer: str = "127.0.0.1", host: str = "127.0.0.1") -> Iterator[TestClient]:
        """Runs the app with a client at the address `peer` that sends `host`.

        Asserts afterwards that both engines are idle.
        """
        client = TestClient(
            self.build_app(),
            base_url="http://127.0.0.1",
            # A WebSocket of this client would send "testserver" as its host.
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
    """Calls the app with `messages` and returns what it sends; `changes` override the scope."""
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
    """Lets all tasks run that do not wait for a thread."""
    for _ in range(5):
        await asyncio.sleep(0)


def other_tasks() -> set[asyncio.Task[object]]:
    """Returns all tasks except the current one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def pcm_samples(body: bytes) -> npt.NDArray[np.int16]:
    """Returns the samples of a `pcm` response."""
    return np.frombuffer(body, dtype="<i2")
