"""The choice of the language model, and where it runs."""

import pytest
from pydantic import SecretStr

from orpheus_server.chat.model_info import DEFAULT_CHAT_MODEL
from orpheus_server.chat.selection import ChatModelConfig, resolve_chat_config
from orpheus_server.errors import StartError
from orpheus_server.settings import Settings


def chosen(*, has_cuda: bool = False, **changes: object) -> ChatModelConfig | None:
    return resolve_chat_config(Settings.model_validate(changes), runs_gemma=has_cuda)


@pytest.mark.parametrize(
    ("name", "has_cuda", "config"),
    [
        (None, False, None),
        (None, True, None),
        ("auto", False, None),
        ("auto", True, ChatModelConfig("local", DEFAULT_CHAT_MODEL)),
        ("echo", False, ChatModelConfig("echo", "echo")),
        ("google/gemma-2-2b-it", False, ChatModelConfig("local", "google/gemma-2-2b-it")),
        ("/models/own", True, ChatModelConfig("local", "/models/own")),
    ],
)
def test_in_this_process(name: str | None, has_cuda: bool, config: ChatModelConfig | None) -> None:
    assert chosen(has_cuda=has_cuda, llm_model_name=name) == config
    if config is not None:
        # The path of a folder must not reach clients.
        assert config.info.name == config.source.removeprefix("/models/")
        assert config.info.provider == "orpheus-server"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:11434/v1", "127.0.0.1"),
        ("https://API.Example.com/v1/", "api.example.com"),
        ("http://[::1]:8000/v1", "::1"),
        ("http://llm", "llm"),
    ],
)
def test_on_another_server(url: str, host: str) -> None:
    config = chosen(llm_base_url=url, llm_model_name="m", llm_api_key="sk-1")
    assert config == ChatModelConfig("remote", "m", provider=host)
    assert config.info.provider == host


def test_another_server_needs_a_name() -> None:
    with pytest.raises(StartError, match="^LLM_BASE_URL is set and LLM_MODEL_NAME is not"):
        chosen(llm_base_url="http://127.0.0.1/v1")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:11434",
        "localhost:11434/v1",
        "ftp://a/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://a b/v1",
        "http://a/v1 ",
        "http://a/v1\n",
        "http://a\u00a0/v1",
        "http://a:99999/v1",
        "http://a:x/v1",
        "http://[::1/v1",
        "http://a..b/v1",
        f"http://{'a' * 64}/v1",
        "http://a/v1#x",
        "http://m\u00fcller.example/v1",
    ],
)
def test_invalid_urls(url: str) -> None:
    """They are reported at the start with the name of the setting, not at the first request."""
    with pytest.raises(StartError) as caught:
        chosen(llm_base_url=url, llm_model_name="m")
    assert str(caught.value) == (
        f"LLM_BASE_URL={url!r}: it must start with http:// or https:// and must not contain "
        "spaces, ? or #; for example http://127.0.0.1:11434/v1."
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hush@a/v1",
        "http://hush@a/v1",
        "https://:hush@a:99999/v1",
        "user:hush@a/v1",
        "http://a/v1?x=@hush",
        "http://a/v1?key=hush",
    ],
)
def test_passwords_are_not_repeated(url: str) -> None:
    with pytest.raises(StartError, match="^LLM_BASE_URL") as caught:
        chosen(llm_base_url=url, llm_model_name="m")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["hush hush", "hush\n", "h\u00fcsh"])
def test_a_key_that_cannot_be_a_header(key: str) -> None:
    """Each request would fail, with the key in the error."""
    with pytest.raises(StartError) as caught:
        chosen(llm_base_url="http://a/v1", llm_model_name="m", llm_api_key=SecretStr(key))
    assert str(caught.value) == (
        "LLM_API_KEY=(hidden): only visible ASCII characters without spaces are allowed."
    )
