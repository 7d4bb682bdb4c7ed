"""Fixtures that more than one file needs."""

import gc
import logging
import re
import warnings
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import httpcore2
import pytest

from orpheus_server.settings import Settings
from tests.support.app import Bench, open_bench

if TYPE_CHECKING:
    from tests.support.live import LiveServer

ROOT = Path(__file__).parent.parent

EXTRAS = sorted(
    {path.stem.removeprefix("requirements-") for path in ROOT.glob("requirements-*.txt")}
    - {"cuda", "test"}
)
"""Markers of tests that need the additional packages of a `requirements-NAME.txt`."""


def pytest_configure(config: pytest.Config) -> None:
    for name in EXTRAS:
        config.addinivalue_line("markers", f"{name}: only in make test-{name}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects tests that need additional packages, unless `-m` names their marker."""
    named = re.findall(r"[\w-]+", config.option.markexpr)
    left_out = [name for name in EXTRAS if name not in named]
    needs_more = [item for item in items if any(map(item.get_closest_marker, left_out))]
    if needs_more:
        config.hook.pytest_deselected(items=needs_more)
        items[:] = [item for item in items if item not in needs_more]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Turns off garbage collection during imports and collection, where it took half of the time.

    Exempts the imported modules from it later: scanning them took a third of the time of the tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        gc.enable()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Removes the settings of the machine that runs the tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        folder = tmp_path_factory.mktemp("no_settings")
        monkeypatch.setitem(Settings.model_config, "env_file", folder / ".env")
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_ssl_context() -> Iterator[None]:
    """Shares one SSL context: loading certificates takes 17 ms per client; no test uses TLS."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        context = cache(httpcore2.default_ssl_context)
        monkeypatch.setattr(httpcore2, "default_ssl_context", context)
        yield


@pytest.fixture(autouse=True)
def loggers() -> Iterator[list[logging.Logger]]:
    """The loggers that start-up configures, restored after the test.

    A handler that stays would write to the captured stream of a finished test.
    """
    names = ("orpheus_server", "uvicorn", "uvicorn.error")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield loggers
    for logger, (handlers, level, propagates) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagates
        logger.setLevel(level)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """An attempt runner over the fakes."""
    async with open_bench() as bench:
        yield bench


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random language model with Gemma's prompt format."""
    from tests.support.tiny_gemma import write_tiny_gemma

    folder = tmp_path_factory.mktemp("tiny") / "gemma"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tiny_gemma(folder)
    return folder


@pytest.fixture(scope="session")
def server(tiny_gemma: Path) -> Iterator["LiveServer"]:
    """A real uvicorn with real engines for speech and chat, shared by the test session."""
    from tests.support.live import LiveServer

    # Slow machines need more time than clients have.
    settings = Settings(
        llm_model_name=str(tiny_gemma), llm_max_model_len=1024, tts_queue_wait_sec=120
    )
    # vLLM and its imports raise deprecation warnings, which must not be errors here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        live = LiveServer(settings)
        live.__enter__()
    yield live
    live.__exit__(None, None, None)
