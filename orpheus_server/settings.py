"""The settings: the environment and `.env`, read once, checked loudly."""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName

ENV_FILE = Path(".env")
_PREFIXES = ("TTS_", "SNAC_", "LLM_")

Seconds = Annotated[float, Field(gt=0.0, le=86_400.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Settings(BaseSettings):
    """Every setting with its meaning; None is "not set", and the text says what happens then."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
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
    """Least severity that is logged; texts of requests are never logged."""

    log_format: Literal["text", "json"] = "text"
    """Log lines for people, or one JSON object each."""

    tts_model_name: str | None = None
    """Checkpoint: pocket, the hub id of a published one, or a folder or hub id with a
    speech.json. Not set: the English Orpheus with a CUDA GPU, else the bundled voice."""

    tts_dtype: DtypeName | None = None
    """Number type of the weights. Not set: bfloat16 on CUDA, the checkpoint's choice on CPU
    (float32 for the bundled voice)."""

    tts_max_model_len: Annotated[int, Field(ge=2048, le=131072)] | None = None
    """Longest prompt and speech together, in tokens. Not set: the checkpoint's (8192 published).
    Lowered to what the cache holds."""

    tts_tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """GPUs that share one engine."""

    tts_gpu_memory_utilization: Share | None = None
    """Share of the GPU's memory for the speech engine; not used on CPU. Not set: 0.9, or 0.35
    beside a language model in this process."""

    tts_max_num_seqs: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Generations at once. Not set: 256 on CUDA, 32 on CPU."""

    tts_max_workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Threads for decoding and other heavy work. Not set: 16 on CUDA, the cores on CPU."""

    tts_temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Default temperature. Not set: the checkpoint's."""

    tts_top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Default nucleus. Not set: the checkpoint's."""

    tts_repetition_penalty: Annotated[float, Field(ge=0.5, le=2.0)] | None = None
    """Default penalty. Not set: the checkpoint's."""

    tts_max_tokens: Annotated[int, Field(ge=100, le=8192)] | None = None
    """Most tokens of one chunk (82 are a second). Not set: from the text's length, at most 4096."""

    tts_default_response_format: Literal["wav", "pcm", "mp3", "opus", "aac", "flac"] = "wav"
    """Format of answers whose request names none."""

    tts_chunk_max_chars: Annotated[int, Field(ge=40, le=2000)] = 500
    """Longest text that is one generation; less where the checkpoint was trained on less."""

    tts_max_input_chars: Annotated[int, Field(ge=0)] = 32768
    """Longest input of a request in characters; 0 is no limit."""

    tts_max_attempts: Annotated[int, Field(ge=1, le=20)] = 5
    """Attempts at a chunk before it counts as failed."""

    tts_on_failure: Literal["best", "error"] = "best"
    """When all attempts fail: deliver the best one, marked, or fail the request."""

    tts_deterministic: bool = False
    """The same answer for the same seed whatever else is being spoken: one generation at a time on
    CPU, batch-invariant kernels on CUDA. Costs most of the speed under load."""

    tts_first_audio_frames: Annotated[int, Field(ge=2, le=3)] = 3
    """Frames of 85 ms before the first sound. 2 starts a third sooner, and the first 58 ms of each
    chunk are not exact."""

    tts_max_streams: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Requests that are spoken at once, at most. Not set: what the machine was measured to carry
    in real time, at the start and ever since."""

    tts_queue_wait_sec: Annotated[float, Field(ge=0.0, le=3600.0)] = 30.0
    """Longest wait of a request for its turn; after that it is told when to come back."""

    tts_request_timeout_sec: Seconds = 600.0
    """Longest time that the server works on one request; what a slow reader takes is not in it."""

    tts_client_stall_sec: Seconds = 60.0
    """A caller who takes not one byte of its answer for so long is cut off."""

    tts_receive_timeout_sec: Seconds = 20.0
    """Longest time that the headers, and then the body, of a request may take to arrive."""

    tts_drain_sec: Annotated[float, Field(ge=0.0, le=3600.0)] = 30.0
    """Time that running requests have to end when the server is asked to stop."""

    tts_engine_stall_sec: Annotated[float, Field(ge=1.0, le=3600.0)] = 30.0
    """An engine that should write and has written nothing for so long is started again."""

    tts_max_restarts: Annotated[int, Field(ge=0, le=100)] = 5
    """Restarts of the engine within ten minutes; one more, and the process ends."""

    tts_max_requests_per_key: Annotated[int, Field(ge=1)] | None = None
    """Requests of one key (without keys: of one address) that wait or are spoken at once; beyond
    it 429. Not set: no limit."""

    tts_max_sessions_per_key: Annotated[int, Field(ge=1)] = 256
    """WebSocket sessions of one key (without keys: of one address) at once."""

    tts_max_session_sec: Seconds = 3600.0
    """Longest time that a WebSocket session lasts."""

    api_keys: SecretStr | None = None
    """Keys that callers must show as `Authorization: Bearer`, separated by commas, each with a name
    for the log if wanted: `anna:key1,ben:key2`. Not set: only this machine is served."""

    allow_unauthenticated: bool = False
    """Serve every caller without a key, from any address."""

    cors_origins: str | None = None
    """Origins whose pages may call this server, separated by commas: `https://a.example`."""

    enable_metrics: bool = True
    """Serve `/metrics`."""

    enable_docs: bool = True
    """Serve `/docs` and `/openapi.json`."""

    llm_model_name: str | None = None
    """Language model of the chat routes: auto (google/gemma-2-2b-it with a CUDA GPU, else none),
    echo (says what it was told), a folder or hub id to run in this process, or with LLM_BASE_URL
    the name that the server there knows. Not set: no chat."""

    llm_base_url: str | None = None
    """Server of the language model, any that speaks OpenAI's API: http://127.0.0.1:11434/v1 is
    Ollama's. Not set: LLM_MODEL_NAME runs in this process."""

    llm_api_key: SecretStr | None = None
    """Key for that server."""

    llm_max_model_len: Annotated[int, Field(ge=512, le=1_048_576)] = 2048
    """Room for a conversation and its answer in tokens; the oldest messages that do not fit are
    left out. Less where the model has less."""

    llm_gpu_memory_utilization: Share = 0.25
    """Share of the GPU's memory for a language model in this process; not used on CPU."""

    llm_system_prompt: str | None = None
    """What the language model is told before every spoken conversation. Not set: to speak in short
    sentences, without markup, with the emotion tags of the voice."""

    llm_timeout_sec: Seconds = 30.0
    """Longest time to the first token of an answer, and between two tokens."""

    snac_device: str | None = None
    """Device of the codec: cpu, cuda, cuda:1. Not set: the engine's GPU, else cpu."""

    hf_token: SecretStr | None = None
    """Hugging Face token for gated checkpoints."""

    vllm_use_v1: str | None = None
    """Of an engine that no longer exists: ignored, 0 gives one warning."""

    @property
    def hub_token(self) -> str | None:
        """`hf_token` in the clear, for the hub alone."""
        return self.hf_token.get_secret_value() if self.hf_token else None

    @field_validator("snac_device")
    @classmethod
    def _check_device(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"cpu|cuda(:[0-9]+)?", value) is None:
            raise ValueError("allowed are cpu, cuda and cuda:N")
        return value


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and `.env`; `overrides` win.

    Raises `StartError` with one line for each bad value: its name, the value, what is allowed.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0]).upper()
            shown = "(hidden)" if name in _SECRETS else repr(problem["input"])
            lines.append(f"{name}={shown}: {_allowed(problem['msg'])}")
        raise StartError("Bad settings:\n  " + "\n  ".join(lines)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{ENV_FILE} cannot be read: {error}") from error


_SECRETS = {
    name.upper()
    for name, field in Settings.model_fields.items()
    if field.annotation == SecretStr | None
}


def _allowed(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return text if text.startswith("allowed") else f"allowed is {text}"


def warnings_for(settings: Settings) -> list[str]:
    """What in the environment has no effect, one line each: outdated names and likely typos."""
    lines = []
    if settings.vllm_use_v1 == "0":
        lines.append("VLLM_USE_V1=0 has no effect: vLLM's first engine no longer exists.")
    if settings.api_keys is not None and settings.allow_unauthenticated:
        lines.append("ALLOW_UNAUTHENTICATED=true has no effect: API_KEYS is set, a key is needed.")
    known = [name.upper() for name in Settings.model_fields]
    env_file = Settings.model_config.get("env_file")
    in_file = dotenv_values(env_file) if isinstance(env_file, Path) else {}
    for name in sorted({name.upper() for name in (*os.environ, *in_file)}):
        if name.startswith(_PREFIXES) and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            hint = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"{name} is not a setting of this version and has no effect{hint}")
    return lines
