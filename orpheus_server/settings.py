"""The settings: read once from the environment and `.env`, and validated."""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orpheus_server.env_file import ENCODING, read_names
from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName, EngineName

ENV_FILE = Path(".env")
_PREFIXES = ("TTS_", "SNAC_", "LLM_")

# Similarity of two names from which one is taken for a typo of the other: 0.75 finds PROT.
_FILE_CUTOFF, _ENVIRONMENT_CUTOFF = 0.75, 0.85

# Characters that are allowed in a header and in the request line.
_VISIBLE = re.compile(r"[!-~]+")

Seconds = Annotated[float, Field(gt=0.0, le=86_400.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Settings(BaseSettings):
    """Every setting; None is "not set", and the description says what applies then."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address that the server listens on."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8880
    """Port that the server listens on."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest severity that is logged. Texts of requests are never logged."""

    log_format: Literal["text", "json"] = "text"
    """Log lines as text, or as one JSON object each."""

    tts_model_name: str | None = None
    """Checkpoint: pocket (the bundled voice), the hub id of a published one, or a folder or hub id
    with a speech.json. Not set: the English Orpheus with a CUDA GPU, otherwise pocket."""

    tts_engine: EngineName | None = None
    """Engine of the voice: vllm, transformers, or completions (servers at TTS_COMPLETIONS_URL). Not
    set: completions if TTS_COMPLETIONS_URL is set; else vllm if it is installed, else
    transformers."""

    tts_completions_url: str | None = None
    """Servers of completions that run the checkpoint, separated by commas: http://127.0.0.1:8080 is
    llama-server's. The least busy one is used first."""

    tts_completions_api_key: SecretStr | None = None
    """API key for TTS_COMPLETIONS_URL."""

    tts_device_map: str | None = None
    """Device map of the transformers engine: auto, balanced, sequential, or one device such as
    cuda:1, mps or cpu. Not set: auto, then one device, then cpu."""

    tts_dtype: DtypeName | None = None
    """Data type of the weights. Not set: bfloat16 on CUDA and on CPUs that compute in it; the
    checkpoint's choice on other CPUs (float32 for the bundled voice)."""

    tts_enforce_eager: bool | None = None
    """Run the model without compiling it: the first start is 20 s shorter, every step is slower.
    Not set: compiled on CUDA, and on a CPU if there are a C++ compiler and Python's headers."""

    tts_max_model_len: Annotated[int, Field(ge=2048, le=131072)] | None = None
    """Most tokens of prompt and speech together, lowered if the cache holds fewer. Not set: the
    checkpoint's limit (8192 for the published ones)."""

    tts_tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of GPUs that one engine is spread over."""

    tts_gpu_memory_utilization: Share | None = None
    """Share of the GPU's memory for the speech engine; not used on CPU. Not set: 0.9, or 0.35
    with a language model in this process."""

    tts_max_num_seqs: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Most concurrent generations. Not set: 256 with vLLM on CUDA, else 32."""

    tts_max_workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Threads for decoding and other heavy work. Not set: 16 on CUDA, one per core on CPU."""

    tts_temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Default temperature. Not set: the checkpoint's."""

    tts_top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Default top_p (nucleus sampling). Not set: the checkpoint's."""

    tts_repetition_penalty: Annotated[float, Field(ge=0.5, le=2.0)] | None = None
    """Default repetition penalty. Not set: the checkpoint's."""

    tts_max_tokens: Annotated[int, Field(ge=100, le=8192)] | None = None
    """Most tokens of one chunk (82 per second). Not set: from the text's length, at most 4096."""

    tts_default_response_format: Literal["wav", "pcm", "mp3", "opus", "aac", "flac"] = "wav"
    """Format of the audio if the request names none."""

    tts_stream_wav: Literal["auto", "always", "never"] = "auto"
    """Stream `wav`, whose header then states no length, if the request has no `stream`: always,
    never, or auto, which is for callers that say they read a stream, as OpenAI's Python SDK does.
    """

    tts_voice_aliases: str | None = None
    """Further names for voices, separated by commas: narrator=tara,alloy=leo. Not set: only the
    checkpoint's own aliases."""

    tts_normalize: bool = False
    """Read numbers, signs, units and abbreviations as words, for voices that read English letters,
    unless the request has `normalize`. Voices that read phonemes always do."""

    tts_chunk_max_chars: Annotated[int, Field(ge=40, le=2000)] = 500
    """Most characters of text in one generation; fewer if the checkpoint was trained on shorter
    texts."""

    tts_max_input_chars: Annotated[int, Field(ge=0)] = 32768
    """Most characters in the input of a request; 0 for no limit."""

    tts_max_attempts: Annotated[int, Field(ge=1, le=20)] = 5
    """Most attempts at a chunk."""

    tts_on_failure: Literal["best", "error"] = "best"
    """If all attempts at a chunk fail: deliver the best one, marked, or fail the request."""

    tts_deterministic: bool = False
    """The same seed gives the same audio under any load: one generation at a time on CPU,
    batch-invariant kernels on CUDA. Costs most of the throughput."""

    tts_first_audio_frames: Annotated[int, Field(ge=2, le=3)] = 3
    """Frames of 85 ms decoded before the first audio is sent. 2 starts a third sooner, but the
    first 58 ms of each chunk are not exact."""

    tts_max_streams: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Most requests synthesised at once. Not set: as many as the machine can synthesise in real
    time, measured at start and continuously."""

    tts_queue_wait_sec: Annotated[float, Field(ge=0.0, le=3600.0)] = 20.0
    """Longest wait of a request, for the model to load and for its turn together; after it the
    request is rejected with Retry-After. Many clients give up after 30 seconds."""

    tts_request_timeout_sec: Seconds = 600.0
    """Longest time that the server works on one request, without waiting for a slow reader."""

    tts_client_stall_sec: Seconds = 60.0
    """A client that does not read a single byte of its response for this long is disconnected."""

    tts_receive_timeout_sec: Seconds = 20.0
    """Longest time for the headers of a request to arrive, and again for its body."""

    tts_drain_sec: Annotated[float, Field(ge=0.0, le=3600.0)] = 30.0
    """Time for running requests to finish when the server is stopping."""

    tts_engine_stall_sec: Annotated[float, Field(ge=1.0, le=3600.0)] = 30.0
    """An engine with work that produces no token for this long is restarted."""

    tts_max_restarts: Annotated[int, Field(ge=0, le=100)] = 5
    """Most restarts of the engine within ten minutes; after one more the process exits."""

    tts_max_requests_per_key: Annotated[int, Field(ge=1)] | None = None
    """Most requests of one key (without keys: of one address) that are queued or synthesised at
    once; more get 429. Not set: no limit."""

    tts_max_sessions_per_key: Annotated[int, Field(ge=1)] = 256
    """Most concurrent WebSocket sessions of one key (without keys: of one address)."""

    tts_max_session_sec: Seconds = 3600.0
    """Longest duration of a WebSocket session."""

    api_keys: SecretStr | None = None
    """Keys that callers must send as `Authorization: Bearer`, separated by commas, each with an
    optional name for the log: `anna:key1,ben:key2`. Not set: only this machine is served."""

    allow_unauthenticated: bool = False
    """Serve every caller without a key, from any address."""

    public_lists: bool = True
    """With API_KEYS: answer `/v1/models`, `/v1/audio/models` and `/v1/audio/voices` without a key.
    Some clients request them without the key that they have."""

    cors_origins: str | None = None
    """Origins whose pages may call this server, separated by commas, of any scheme:
    `https://a.example,app://obsidian.md`."""

    enable_metrics: bool = True
    """Serve `/metrics`."""

    enable_docs: bool = True
    """Serve `/docs` and `/openapi.json`."""

    llm_model_name: str | None = None
    """Language model of the chat routes: auto (google/gemma-2-2b-it with a CUDA GPU, else none),
    echo (repeats the message), a folder or hub id to run in this process, or with LLM_BASE_URL
    the model's name on that server. Not set: no chat."""

    llm_base_url: str | None = None
    """Server of the language model, with OpenAI's API: http://127.0.0.1:11434/v1 is Ollama's.
    Not set: LLM_MODEL_NAME runs in this process."""

    llm_api_key: SecretStr | None = None
    """API key for LLM_BASE_URL."""

    llm_max_model_len: Annotated[int, Field(ge=512, le=1_048_576)] = 2048
    """Most tokens of a conversation and its reply together, lowered if the model has fewer. The
    oldest messages that do not fit are left out."""

    llm_gpu_memory_utilization: Share = 0.25
    """Share of the GPU's memory for a language model in this process; not used on CPU."""

    llm_system_prompt: str | None = None
    """System prompt of every spoken conversation. Not set: the model is asked for short sentences
    without markup, with the emotion tags of the voice."""

    llm_timeout_sec: Seconds = 30.0
    """Longest time to the first token of a reply, and between two tokens."""

    snac_device: str | None = None
    """Device of the codec: cpu, cuda or cuda:N. Not set: the engine's GPU, otherwise cpu."""

    hf_token: SecretStr | None = None
    """Hugging Face token for gated checkpoints."""

    vllm_use_v1: str | None = None
    """Ignored, because it selected an engine that no longer exists; 0 logs a warning."""

    @property
    def hub_token(self) -> str | None:
        """`hf_token` in plain text, for the hub only."""
        return self.hf_token.get_secret_value() if self.hf_token else None

    @field_validator("snac_device")
    @classmethod
    def _check_device(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"cpu|cuda(:[0-9]+)?", value) is None:
            raise ValueError("cpu, cuda or cuda:N")
        return value


def load_settings(**overrides: Any) -> Settings:
    """Reads the settings from the environment and `.env`; `overrides` take precedence.

    Raises `StartError` with one line per bad value: its name, the value, what is allowed.
    """
    _names_in_file()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = str(problem["loc"][0])
            name = field.upper()
            shown = "(hidden)" if name in _SECRETS else repr(problem["input"])
            lines.append(f"{name}={shown}: must be {_allowed(field, problem['msg'])}")
        raise StartError("Bad settings:\n  " + "\n  ".join(lines)) from error


_NAMES = [name.upper() for name in Settings.model_fields]

_SECRETS = {
    name.upper()
    for name, field in Settings.model_fields.items()
    if field.annotation == SecretStr | None
}


def _names_in_file() -> list[str]:
    """Returns the names in `.env`; raises `StartError` if the file is malformed."""
    path = Settings.model_config.get("env_file")
    return read_names(path) if isinstance(path, Path) else []


def _allowed(field: str, message: str) -> str:
    """Returns which values are allowed; `message` is pydantic's, or that of a validator."""
    if message.startswith("Value error, "):
        return message.removeprefix("Value error, ")
    schema = Settings.model_json_schema()["properties"][field]
    # Settings that need no value are of this type or null.
    schema = next(iter(schema.get("anyOf", ())), schema)
    if "enum" in schema:
        *others, last = schema["enum"]
        return f"{', '.join(others)} or {last}"
    kinds = {"boolean": "true or false", "integer": "a whole number", "number": "a number"}
    kind = kinds.get(schema["type"], "text")
    return " ".join([kind, *_range_of(schema)])


def _range_of(schema: dict[str, Any]) -> Iterator[str]:
    """Yields "from 1 to 65535", "above 0, at most 1" and so on."""
    least, most = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if least is not None and most is not None:
        yield f"from {_digits(least)} to {_digits(most)}"
    elif least is not None:
        yield f"of at least {_digits(least)}"
    elif above is not None:
        yield f"above {_digits(above)}" + (f" and at most {_digits(most)}" if most else "")


def _digits(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def host_of(url: str, *, setting: str, key_setting: str, example: str) -> str:
    """Returns the host of a server's URL in a setting.

    Raises `StartError` for an invalid URL, without repeating a password in it.
    """
    try:
        parts = urlsplit(url)
        host, has_login, _ = parts.hostname, "@" in parts.netloc, parts.port
        # As a DNS lookup would; it fails for a label that is empty or too long.
        (host or "").encode("idna")
    except ValueError:
        host, parts, has_login = None, urlsplit(""), "@" in url
    if has_login:
        raise StartError(
            f"{setting} contains a user or password, which would reach the logs: use {key_setting}."
        )
    is_plain = _VISIBLE.fullmatch(url) is not None and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not host or not is_plain:
        # The query may contain a key.
        shown = "(hidden)" if "@" in url or "?" in url else repr(url)
        raise StartError(
            f"{setting}={shown}: it must start with http:// or https:// and must not contain "
            f"spaces, ? or #; for example {example}."
        )
    return host


def check_key(key: SecretStr | None, *, setting: str) -> None:
    """Raises `StartError` for an API key that cannot be sent in a header."""
    if key is not None and _VISIBLE.fullmatch(key.get_secret_value()) is None:
        raise StartError(
            f"{setting}=(hidden): only visible ASCII characters without spaces are allowed."
        )


def warnings_for(settings: Settings) -> list[str]:
    """Warnings about variables without effect: outdated names and likely typos."""
    lines = []
    if settings.vllm_use_v1 == "0":
        lines.append("VLLM_USE_V1=0 has no effect: vLLM's first engine no longer exists.")
    if settings.api_keys is not None and settings.allow_unauthenticated:
        lines.append("ALLOW_UNAUTHENTICATED=true has no effect: API_KEYS is set, a key is needed.")
    path = Settings.model_config.get("env_file")
    if isinstance(path, Path) and path.is_dir():
        # Docker makes a folder of a file that it shall mount and does not find.
        lines.append(f"{path} is a folder, so no settings are read from it")
    in_file = {name.upper() for name in _names_in_file()}
    in_environment = {name.upper() for name in os.environ}
    for name in sorted(in_file | in_environment):
        # Most of the environment is for other programs, `.env` for this one.
        meant = _meant_by(name, cutoff=_FILE_CUTOFF if name in in_file else _ENVIRONMENT_CUTOFF)
        is_ours = name.startswith(_PREFIXES)
        if name in _NAMES or not (is_ours or (meant and meant not in in_file | in_environment)):
            continue
        hint = f"; did you mean {meant}?" if meant else ""
        lines.append(f"{name} is not a setting of this version and has no effect{hint}")
    return lines


def _meant_by(name: str, *, cutoff: float) -> str | None:
    """Returns the setting with the most similar name, or None if none is similar."""
    return next(iter(difflib.get_close_matches(name, _NAMES, n=1, cutoff=cutoff)), None)
