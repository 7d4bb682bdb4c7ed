"""Finds out what answers at an address of completions: its dialect, vocabulary and context.

Blocking, so that it runs before there is an event loop, and later in threads.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from tokenizers import Tokenizer

from orpheus_server import __version__
from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.engine.completion_dialects import Dialect, StopTokens
from orpheus_server.engine.completion_prompt import PromptText, first_custom_id
from orpheus_server.engine.custom_tokens import CustomTokenParser
from orpheus_server.errors import StartError
from orpheus_server.interfaces import SamplingOptions, TokenRequest

CONNECT_TIMEOUT_SEC = 5.0
ANSWER_TIMEOUT_SEC = 20.0
"""For one answer of a probe: a large model needs seconds for its first token after a long pause."""

MIN_CONTEXT_TOKENS = 512
"""Prompt and output of 5 s of speech. The voice speaks shorter chunks in a short context."""

MAX_ADDED_TOKENS = 2
"""Servers add a BOS to a text; more than this is a chat template or another vocabulary."""

_UNAVAILABLE = {429, 500, 502, 503, 504}
_MAX_BODY_BYTES = 1 << 20


class NotAnswering(Exception):
    """The server does not answer now: it is down, loading or full. Stays inside the engine."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The token ids of a checkpoint as servers must know them; built once, read by all threads."""

    size: int
    stop: StopTokens
    first_custom_id: int
    sample: tuple[int, ...]
    """A short prompt."""
    names: tuple[tuple[str, int], ...]
    """Some control and audio tokens."""
    last_audio_id: int
    write: Callable[[Sequence[int]], str]
    checkpoint: Checkpoint
    no_text: StartError | None = None
    """Set if prompts cannot be written as text."""


def vocabulary_of(checkpoint: Checkpoint, tokenizer: Tokenizer) -> Vocabulary:
    """Returns what servers must know about a checkpoint."""
    layout, template = checkpoint.layout, checkpoint.prompt
    ids = {*template.before, *template.after, *layout.stop_token_ids}
    ids |= {layout.audio_token_base, layout.audio_token_end - 1}
    named = ((tokenizer.id_to_token(each), each) for each in sorted(ids))
    names = {token_id: name for name, token_id in named if name}
    sample, no_text, write = (*template.before, *template.after), None, _write_nothing
    try:
        text = PromptText(checkpoint, tokenizer)
        sample, write = text.sample, text.write
    except StartError as error:
        no_text = error
    return Vocabulary(
        size=max(tokenizer.get_vocab_size(), layout.audio_token_end, max(ids) + 1),
        stop=StopTokens(
            layout.stop_token_ids,
            tuple(names[each] for each in layout.stop_token_ids if each in names),
        ),
        first_custom_id=first_custom_id(checkpoint),
        sample=sample,
        names=tuple((name, token_id) for token_id, name in names.items()),
        last_audio_id=layout.audio_token_end - 1,
        write=write,
        checkpoint=checkpoint,
        no_text=no_text,
    )


def _write_nothing(token_ids: Sequence[int]) -> str:
    raise AssertionError("this server is not used with text")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the probe found: `context_tokens` per generation and `num_slots` if the server says.

    `num_added_tokens` are added to every prompt, which is a BOS.
    """

    dialect: Dialect
    context_tokens: int | None = None
    num_slots: int | None = None
    num_added_tokens: int = 0

    def max_model_len(self, limit: int) -> int:
        """Returns how many tokens a request may have, of its own limit and in the context."""
        return min(limit, self.context_tokens or limit) - self.num_added_tokens

    def describe(self) -> str:
        """Describes the server for the log."""
        slots = "" if self.num_slots is None else f", {self.num_slots} slots"
        context = "" if self.context_tokens is None else f", context {self.context_tokens}"
        return f"{self.dialect.name} API{slots}{context}"


def root_of(url: str) -> str:
    """Returns the address without the path of OpenAI's API."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def name_of(url: str) -> str:
    """Returns the address for logs and messages, without a password."""
    parts = urlsplit(root_of(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def headers_of(api_key: str | None) -> dict[str, str]:
    """Returns the headers of every request."""
    # Compression would buffer tokens.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"orpheus-server/{__version__}"}
    return headers if api_key is None else headers | {"Authorization": f"Bearer {api_key}"}


class Probe:
    """Probes one server. Methods raise `NotAnswering`, or `StartError` if it is the wrong one."""

    def __init__(self, url: str, api_key: str | None, vocabulary: Vocabulary) -> None:
        self._root, self._name = root_of(url), name_of(url)
        self._vocabulary = vocabulary
        self._headers = headers_of(api_key)

    def look(self) -> ServerInfo:
        """Returns what the server is, after it has generated tokens of audio."""
        with self._client() as client:
            props = self._get(client, "/props")
            settings = props.get("default_generation_settings") if props else None
            if props is not None and isinstance(settings, dict):
                info = self._look_at_llama(client, props, settings)
                if info is not None:
                    return self._checked(info)
            models = self._get(client, "/v1/models")
            if models is None or not isinstance(models.get("data"), list):
                raise StartError(
                    f"{self._name} is not a server of completions: it has no list of models at "
                    "/v1/models. Check TTS_COMPLETIONS_URL."
                )
            model, context_tokens = self._choose(models["data"])
            info = None
            if context_tokens is not None:
                info = self._look_at_vllm(client, model, context_tokens)
            return self._checked(info or self._look_at_text(client, model, context_tokens))

    def check_health(self, info: ServerInfo) -> None:
        """Raises `NotAnswering` if the server does not answer."""
        path = "/v1/models" if info.dialect.name == "text" else "/health"
        with self._client() as client:
            status, _ = self._send(client, "GET", path)
        if status in _UNAVAILABLE:
            raise NotAnswering(f"{self._name} answers {path} with status {status}")

    def _client(self) -> httpx2.Client:
        return httpx2.Client(
            headers=self._headers,
            timeout=httpx2.Timeout(ANSWER_TIMEOUT_SEC, connect=CONNECT_TIMEOUT_SEC),
            # A proxy from the environment would also get, and could read, local requests.
            trust_env=False,
            follow_redirects=False,
        )

    def _send(
        self, client: httpx2.Client, method: str, path: str, body: object = None
    ) -> tuple[int, dict[str, Any] | None]:
        """Returns the status and the JSON object of a response, None if it is something else."""
        try:
            url = self._root + path
            with client.stream(method, url, json=body if body is not None else None) as response:
                data = b""
                for part in response.iter_bytes():
                    data += part
                    if len(data) > _MAX_BODY_BYTES:
                        break
        except httpx2.InvalidURL as error:
            raise StartError(f"TTS_COMPLETIONS_URL: {self._name}: {error}") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            kind = type(error).__name__
            detail = f"{kind}: {error}" if isinstance(error, httpx2.ConnectError) else kind
            raise NotAnswering(f"{self._name} does not answer ({detail})") from error
        if response.status_code in (401, 403):
            raise StartError(
                f"{self._name} rejects the API key with status {response.status_code}: "
                "check TTS_COMPLETIONS_API_KEY."
            )
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        return response.status_code, found if isinstance(found, dict) else None

    def _get(self, client: httpx2.Client, path: str) -> dict[str, Any] | None:
        status, found = self._send(client, "GET", path)
        if status in _UNAVAILABLE:
            raise NotAnswering(f"{self._name} answers {path} with status {status}: is it loading?")
        return found if status == 200 else None

    def _look_at_llama(
        self, client: httpx2.Client, props: dict[str, Any], settings: dict[str, Any]
    ) -> ServerInfo | None:
        """Returns None if this version does not return ids."""
        for name, token_id in self._vocabulary.names:
            fields = {"content": name, "add_special": False, "parse_special": True}
            status, found = self._send(client, "POST", "/tokenize", fields)
            if status == 200 and found is not None:
                self._compare(name, token_id, found.get("tokens"))
        info = ServerInfo(
            Dialect("llama-server"), _count(settings.get("n_ctx")), _count(props.get("total_slots"))
        )
        answer = self._generate(client, info)
        if answer is None:
            raise self._other_vocabulary("it rejects a prompt of the checkpoint's ids")
        ids = answer.get("tokens")
        if not isinstance(ids, list) or not ids:
            return None
        self._check_ids(ids)
        return info

    def _look_at_vllm(
        self, client: httpx2.Client, model: str, context_tokens: int
    ) -> ServerInfo | None:
        """Returns None if the server does not return ids."""
        for name, token_id in self._vocabulary.names:
            fields = {"model": model, "prompt": name, "add_special_tokens": False}
            status, found = self._send(client, "POST", "/tokenize", fields)
            if status == 200 and found is not None:
                self._compare(name, token_id, found.get("tokens"))
        info = ServerInfo(Dialect("vLLM", model), context_tokens)
        answer = self._generate(client, info)
        if answer is None:
            raise self._other_vocabulary("it rejects a prompt of the checkpoint's ids")
        ids = _choice_in(answer).get("token_ids")
        if not isinstance(ids, list) or not ids:
            return None
        self._check_ids(ids)
        return info

    def _look_at_text(
        self, client: httpx2.Client, model: str, context_tokens: int | None
    ) -> ServerInfo:
        vocabulary = self._vocabulary
        if vocabulary.no_text is not None:
            raise StartError(f"{self._name} accepts no token ids, and {vocabulary.no_text}")
        answer = None
        for has_extras in (True, False):
            info = ServerInfo(Dialect("text", model, has_extras), context_tokens)
            answer = self._generate(client, info)
            if answer is not None:
                break
        if answer is None or not isinstance(answer.get("choices"), list):
            raise StartError(f"{self._name} is not a server of completions (/v1/completions).")
        usage = answer.get("usage")
        counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        # Without a count, every known server adds a BOS.
        num_added = counted - len(vocabulary.sample) if isinstance(counted, int) else 1
        if not 0 <= num_added <= MAX_ADDED_TOKENS:
            raise self._other_vocabulary(
                f"it counts {counted} tokens in a prompt of {len(vocabulary.sample)}, or it wraps "
                "prompts in a chat template (Ollama: TEMPLATE {{ .Prompt }})"
            )
        text = _choice_in(answer).get("text")
        parser = CustomTokenParser(vocabulary.first_custom_id)
        ids = parser.feed(text if isinstance(text, str) else "")
        if not ids:
            raise self._other_vocabulary(
                "it writes text and not <custom_token_N> (llama-server's own API needs no text)"
            )
        self._check_ids(ids)
        return ServerInfo(info.dialect, context_tokens, num_added_tokens=num_added)

    def _generate(self, client: httpx2.Client, info: ServerInfo) -> dict[str, Any] | None:
        """Returns the answer to a short request, or None if the server rejects it."""
        vocabulary, dialect = self._vocabulary, info.dialect
        prompt = vocabulary.sample
        if dialect.name != "text":
            # The last audio id shows that the vocabulary is not a shorter one.
            prompt = (*prompt, vocabulary.last_audio_id)
        request = TokenRequest(
            request_id="probe",
            prompt_token_ids=prompt,
            sampling=SamplingOptions(temperature=0.0, top_p=1.0, repetition_penalty=1.0),
            max_tokens=7 if dialect.name == "text" else 1,
            seed=1,
        )
        body = dialect.body(request, vocabulary.stop, vocabulary.write, is_streamed=False)
        status, answer = self._send(client, "POST", dialect.path, body)
        if status in _UNAVAILABLE:
            raise NotAnswering(f"{self._name} answers {dialect.path} with status {status}")
        return answer if status == 200 else None

    def _choose(self, entries: Iterable[object]) -> tuple[str, int | None]:
        """Returns the model of the list that is the checkpoint, and its context."""
        models = {
            str(entry["id"]): entry
            for entry in entries
            if isinstance(entry, dict) and "id" in entry
        }
        checkpoint = self._vocabulary.checkpoint
        wanted = {checkpoint.source.casefold(), checkpoint.name.casefold()}
        fitting = [name for name in models if name.casefold() in wanted]
        for part in (checkpoint.name.casefold(), "orpheus"):
            fitting = fitting or [name for name in models if part in name.casefold()]
        fitting = fitting or list(models)
        if len(fitting) != 1:
            raise StartError(
                f"{self._name} lists {len(models)} models, and {len(fitting)} of them may be "
                f"{checkpoint.name}: let it serve only one, or name it {checkpoint.name}."
            )
        return fitting[0], _count(models[fitting[0]].get("max_model_len"))

    def _checked(self, info: ServerInfo) -> ServerInfo:
        if info.context_tokens is not None and info.context_tokens < MIN_CONTEXT_TOKENS:
            raise StartError(
                f"{self._name} has a context of {info.context_tokens} tokens per generation, but "
                f"at least {MIN_CONTEXT_TOKENS} are needed. llama-server divides -c by --parallel: "
                "with 4 slots, -c 8192 gives 2048 each."
            )
        return info

    def _compare(self, name: str, token_id: int, found: object) -> None:
        if found != [token_id]:
            shown = found[:3] if isinstance(found, list) else found
            raise self._other_vocabulary(f"{name} is {shown} there, and {token_id} here")

    def _check_ids(self, ids: list[Any]) -> None:
        size = self._vocabulary.size
        bad = [each for each in ids if not isinstance(each, int) or not 0 <= each < size]
        if bad:
            raise self._other_vocabulary(f"it generated {bad[0]}, and the vocabulary has {size}")

    def _other_vocabulary(self, detail: str) -> StartError:
        return StartError(
            f"the model at {self._name} does not have the vocabulary of "
            f"{self._vocabulary.checkpoint.name}: {detail}."
        )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _choice_in(answer: dict[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}
