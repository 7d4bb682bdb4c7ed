"""The choice of the speech engine, and the settings that have no effect with it."""

from dataclasses import dataclass

from orpheus_server.chat.selection import ChatModelConfig
from orpheus_server.errors import StartError
from orpheus_server.interfaces import EngineName
from orpheus_server.settings import Settings, check_key, host_of

ENGINE_LABELS: dict[EngineName, str] = {
    "vllm": "vLLM",
    "transformers": "transformers",
    "completions": "completions",
}

_EFFECTIVE_WITH: dict[str, tuple[EngineName, ...]] = {
    "tts_completions_url": ("completions",),
    "tts_completions_api_key": ("completions",),
    "tts_device_map": ("transformers",),
    "tts_dtype": ("vllm", "transformers"),
    "tts_enforce_eager": ("vllm",),
    "tts_tensor_parallel_size": ("vllm",),
    "tts_gpu_memory_utilization": ("vllm",),
    "tts_max_restarts": ("vllm", "transformers"),
}
"""Settings that not every engine has, and the engines that have them."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine of the voice; `why` is a clause for the log and `/health`, empty for vLLM."""

    name: EngineName
    why: str = ""


def choose_engine(settings: Settings, *, has_vllm: bool) -> EngineChoice:
    """Returns the engine that the settings name, or the default one.

    A vLLM that is installed and cannot be imported is still chosen: the start then fails with its
    error instead of continuing with an engine that is ten times slower. Raises `StartError`.
    """
    name = settings.tts_engine
    if name == "completions" or (name is None and settings.tts_completions_url is not None):
        completion_urls(settings)
        return EngineChoice("completions", "TTS_COMPLETIONS_URL is set")
    if name == "vllm" and not has_vllm:
        raise StartError(
            "TTS_ENGINE='vllm': vLLM is not installed. 'make serve' installs it; 'transformers' is "
            "slower and needs nothing more."
        )
    if name == "transformers":
        return EngineChoice("transformers", "TTS_ENGINE is set")
    return EngineChoice("vllm") if has_vllm else EngineChoice("transformers", "there is no vLLM")


def completion_urls(settings: Settings) -> tuple[str, ...]:
    """Returns the addresses of the completion servers, without slashes at their ends.

    Raises `StartError` if there is none, if one is invalid, or if one stands there twice.
    """
    example = "http://127.0.0.1:8080"
    if settings.tts_completions_url is None:
        raise StartError(
            "TTS_ENGINE='completions': set TTS_COMPLETIONS_URL to the address of a server of "
            f"completions, for example {example}."
        )
    check_key(settings.tts_completions_api_key, setting="TTS_COMPLETIONS_API_KEY")
    urls = [url.strip().rstrip("/") for url in settings.tts_completions_url.split(",")]
    for url in urls:
        host_of(
            url,
            setting="TTS_COMPLETIONS_URL",
            key_setting="TTS_COMPLETIONS_API_KEY",
            example=example,
        )
        if urls.count(url) > 1:
            raise StartError(f"TTS_COMPLETIONS_URL contains {url} twice.")
    return tuple(urls)


def needs_vllm(engine: EngineName, chat: ChatModelConfig | None) -> bool:
    """Returns whether the voice or the language model runs in vLLM."""
    return engine == "vllm" or (chat is not None and chat.backend == "local")


def settings_without_effect(settings: Settings, engine: EngineName) -> list[str]:
    """Returns a warning for each setting that differs from its default and has no effect."""
    return [
        f"{name.upper()} has no effect with the {engine} engine"
        for name, engines in _EFFECTIVE_WITH.items()
        if engine not in engines
        and getattr(settings, name) != type(settings).model_fields[name].default
    ]
