"""The engine over llama.cpp's llama-server with the bundled voice, and over `vllm serve`."""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orpheus_server.engine.completion_dialects import Dialect
from orpheus_server.engine.completions_engine import CompletionsEngine, build_completions_engine
from orpheus_server.errors import StartError
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from orpheus_server.settings import Settings
from tests.support.app import POCKET
from tests.support.completions_bench import REQUEST, generate, ids_of, options
from tests.support.llama_server import llama_server
from tests.support.pocket_gguf import write_gguf
from tests.support.server_process import free_port

pytestmark = [
    pytest.mark.llama,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # imports of the codec and of vLLM
]

GREEDY = SamplingOptions(temperature=0.0, top_p=1.0, repetition_penalty=1.0)
PAUSE = threading.Event()


def get(url: str) -> Any:
    """Returns the JSON of a GET, or None."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = answer.read()
            return json.loads(body) if body else {}
    except (OSError, ValueError):
        return None


@contextmanager
def running(
    command: list[str], *, port: int, log: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Runs a server; yields its address and process once it is healthy."""
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(lambda: get(f"{url}/health") is not None, log=log, process=process)
        yield url, process
    finally:
        process.terminate()
        process.wait(30)


def wait_until(
    condition: Callable[[], bool],
    *,
    log: Path | None = None,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    for _ in range(2400):
        if condition():
            return
        text = log.read_text(errors="replace")[-3000:] if log else ""
        assert process is None or process.poll() is None, text
        PAUSE.wait(0.1)
    raise AssertionError("the condition did not become true in time")


def llama_command(gguf: Path, port: int, *arguments: str) -> list[str]:
    return [str(llama_server()), "-m", str(gguf), "--port", str(port), "-t", "1", *arguments]


@contextmanager
def running_llama(gguf: Path, *arguments: str) -> Iterator[str]:
    port = free_port()
    command = llama_command(gguf, port, *arguments)
    with running(command, port=port, log=gguf.with_name(f"log-{port}")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "pocket.gguf"
    write_gguf(path)
    return path


@pytest.fixture(scope="module")
def llama(gguf: Path) -> Iterator[str]:
    with running_llama(gguf, "--parallel", "4", "-c", "8192", "--cache-ram", "0") as url:
        yield url


def build(*urls: str) -> CompletionsEngine:
    return build_completions_engine(POCKET, options(*urls))


def dialect_of(engine: CompletionsEngine) -> Dialect:
    info = engine._servers[0].info
    assert info is not None
    return info.dialect


async def speak(engine: CompletionsEngine, **changes: Any) -> tuple[int, ...]:
    try:
        return ids_of(await generate(engine, replace(REQUEST, max_tokens=600, **changes)))
    finally:
        await engine.close()


def reference() -> tuple[int, ...]:
    """Greedy output of the same weights by transformers, with its stop id."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(POCKET_FOLDER, dtype=torch.float32)
    prompt = torch.tensor([REQUEST.prompt_token_ids])
    output = model.generate(prompt, do_sample=False, max_new_tokens=600, repetition_penalty=1.0)
    return tuple(output[0, prompt.shape[1] :].tolist())


def test_the_server_finds_what_it_needs(llama: str) -> None:
    engine = build(llama)
    info = engine._servers[0].info
    assert info is not None
    assert (info.dialect.name, info.context_tokens, info.num_slots) == ("llama-server", 2048, 4)
    asyncio.run(engine.close())


def test_greedy_ids_are_those_of_the_weights(llama: str) -> None:
    """Shows the conversion, the ids, and that no sampler of llama.cpp's own is left on."""
    ids = asyncio.run(speak(build(llama), sampling=GREEDY))
    assert ids == reference()


def test_a_seed_is_repeatable_and_none_is_random(llama: str) -> None:
    first, again, other, *random = (
        asyncio.run(speak(build(llama), seed=seed)) for seed in (5, 5, 6, None, None)
    )
    assert first == again
    assert len({first, other, *random}) == 4


def test_the_penalty_covers_the_whole_output(llama: str) -> None:
    """With llama.cpp's window of 64 tokens an id would return after nine frames."""
    penalty = replace(GREEDY, repetition_penalty=1e6)
    ids = asyncio.run(speak(build(llama), sampling=penalty))
    assert len(ids) > 64
    assert len(set(ids)) == len(ids)


def test_a_prompt_in_which_the_caller_wrote_a_control_token(llama: str) -> None:
    """Ids travel as ids: the text is not read again."""
    from orpheus_server.synthesis.prompts import PromptBuilder, load_tokenizer
    from orpheus_server.text.front_end import LETTERS, front_end_for

    builder = PromptBuilder(POCKET, load_tokenizer(POCKET_FOLDER))
    front_end = front_end_for(LETTERS, is_spelled_out=True)
    chunk = front_end.prepare("h ə l oʊ <custom_token_2> <eos> .")
    prompt = builder.build(chunk, POCKET.default_voice)
    assert not {4, 88} & set(prompt.token_ids)
    ids = asyncio.run(speak(build(llama), prompt_token_ids=prompt.token_ids))
    assert ids[-1] == 4


def test_cancelling_frees_the_slot(llama: str) -> None:
    """Within two steps: the number of tokens that a slot has generated does not grow further."""

    def busy() -> list[Any]:
        return [slot for slot in get(f"{llama}/slots") if slot["is_processing"]]

    async def work() -> None:
        engine = build(llama)
        # Nothing ends it before the test does.
        endless = replace(REQUEST, max_tokens=1900, prompt_token_ids=(1, 5, 19))
        generation = engine.generate(endless)
        await anext(generation)
        await generation.aclose()
        await asyncio.to_thread(wait_until, lambda: not busy())
        assert engine.num_active == 0
        await engine.close()

    asyncio.run(work())


def test_a_killed_server_costs_no_request(gguf: Path, llama: str) -> None:
    async def work(process: subprocess.Popen[bytes], url: str) -> None:
        engine = build(url, llama)
        request = replace(REQUEST, max_tokens=600, sampling=GREEDY)
        generations = [engine.generate(request) for _ in range(4)]
        starts = [await anext(each) for each in generations]
        process.kill()
        rest = [[delta async for delta in each] for each in generations]
        results = {ids_of([start, *deltas]) for start, deltas in zip(starts, rest, strict=True)}
        assert results == {reference()}
        await engine.close()

    port = free_port()
    command = llama_command(gguf, port, "--parallel", "4", "-c", "8192", "--cache-ram", "0")
    with running(command, port=port, log=gguf.with_name("log-killed")) as (url, process):
        asyncio.run(work(process, url))


def test_text_in_and_text_out(llama: str) -> None:
    """What a server without ids gets, here from llama.cpp's route with OpenAI's API."""
    engine = build(llama)
    (server,) = engine._servers
    assert server.info is not None
    server.info = replace(server.info, dialect=Dialect("text", "pocket"))
    assert asyncio.run(speak(engine, sampling=GREEDY)) == reference()


def test_the_recipe_leaves_too_little_context(gguf: Path) -> None:
    """`--parallel 4 -c 2048` is 512 tokens per slot, 5.5 s of speech at most."""
    with running_llama(gguf, "--parallel", "4", "-c", "2048", "--cache-ram", "0") as url:
        engine = build(url)
        assert engine.max_model_len == 512
        asyncio.run(engine.close())
    with (
        running_llama(gguf, "--parallel", "8", "-c", "2048", "--cache-ram", "0") as url,
        pytest.raises(StartError, match="a context of 256 tokens per generation"),
    ):
        build(url)


def test_a_gguf_with_another_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    write_gguf(path, num_missing_tokens=100)
    with (
        running_llama(path, "--parallel", "1", "-c", "2048") as url,
        pytest.raises(StartError, match="does not have the vocabulary of pocket"),
    ):
        build(url)


def test_a_sentence_is_heard(llama: str) -> None:
    """Through the whole server, with TTS_ENGINE=completions."""
    from tests.support.live import LiveServer, read_wav
    from tests.support.recognition import pick

    sentences = [
        "The birch canoe slid on the smooth planks.",
        "Rice is often served in round bowls.",
        "The boy was there when the sun rose.",
    ]
    settings = Settings(
        tts_engine="completions", tts_completions_url=llama, tts_model_name="pocket"
    )
    with LiveServer(settings) as server:
        assert "engine completions" in get(f"{server.url}/health")["model"]
        for sentence in sentences:
            body = {"input": sentence, "voice": "rms", "response_format": "wav", "seed": 3}
            request = urllib.request.Request(
                f"{server.url}/v1/audio/speech",
                json.dumps(body).encode(),
                {"content-type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as answer:
                samples = read_wav(answer.read())
            assert pick(samples, 24_000, sentences) == sentence


def test_vllm_serve(tmp_path: Path) -> None:
    """The same ids through vLLM's own server."""
    folder = tmp_path / "pocket"
    shutil.copytree(POCKET_FOLDER, folder, ignore=shutil.ignore_patterns("codec"))
    port = free_port()
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)),
        *("--served-model-name", "pocket", "--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "8"),
        *("--kv-cache-memory-bytes", str(1 << 28), "--no-enable-chunked-prefill"),
    ]
    with running(command, port=port, log=tmp_path / "log") as (url, _):
        engine = build(url)
        assert dialect_of(engine) == Dialect("vLLM", "pocket")
        assert engine.max_model_len == 2048
        assert asyncio.run(speak(engine, sampling=GREEDY)) == reference()
