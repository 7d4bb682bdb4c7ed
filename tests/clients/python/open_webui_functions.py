"""Open WebUI's own functions: `open_webui_functions.py URL KEY TEXT...` prints lists and speech.

The functions are taken from the source of the installed package, because importing it would start
a database. Only its configuration and its HTTP session are replaced.
"""

import ast
import asyncio
import base64
import importlib.metadata
import json
import logging
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiofiles
import aiohttp
from fastapi import HTTPException
from fastapi.responses import FileResponse

SOURCE = "open_webui/routers/audio/__init__.py"
FUNCTIONS = {"_raise_tts_error", "_tts_openai", "get_available_models", "get_available_voices"}


def functions_of(settings: dict[str, Any], session: aiohttp.ClientSession) -> dict[str, Any]:
    """Returns the functions, which read these settings."""

    async def get(name: str) -> Any:
        return settings[name]

    async def get_session() -> aiohttp.ClientSession:
        return session

    files = importlib.metadata.files("open-webui") or []
    (path,) = (file.locate() for file in files if str(file) == SOURCE)
    tree = ast.parse(Path(str(path)).read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if is_needed(node)]
    names: dict[str, Any] = {
        "AIOHTTP_CLIENT_SESSION_SSL": True,
        "AIOHTTP_CLIENT_TIMEOUT_MODEL_LIST": 10,
        "Config": SimpleNamespace(get=get),
        "ENABLE_FORWARD_USER_INFO_HEADERS": False,
        "FileResponse": FileResponse,
        "HTTPException": HTTPException,
        "JSONCodec": json,
        "Request": Any,
        "USE_SLIM": False,
        "aiofiles": aiofiles,
        "aiohttp": aiohttp,
        "asyncio": asyncio,
        "get_session": get_session,
        "log": logging.getLogger("open_webui"),
        # The answer is an MP3 already.
        "transcode_audio_to_mp3": lambda *_: False,
    }
    exec(compile(tree, SOURCE, "exec"), names)
    return names


def is_needed(node: ast.stmt) -> bool:
    """Whether a statement of the module is one of the functions, or the voices that they name."""
    if isinstance(node, ast.AsyncFunctionDef):
        return node.name in FUNCTIONS
    return isinstance(node, ast.Assign) and ast.unparse(node).startswith("_OPENAI_DEFAULT_VOICES")


async def speak(functions: dict[str, Any], folder: Path, text: str) -> dict[str, Any]:
    """The file that the browser would get, or the message that it would show."""
    path, payload = folder / "speech.mp3", {"input": text, "voice": ""}
    try:
        await functions["_tts_openai"](None, payload, path, folder / "speech.json", None)
    except HTTPException as error:
        return {"audio": "", "error": error.detail}
    return {"audio": base64.b64encode(path.read_bytes()).decode(), "error": None}


async def main(url: str, key: str, *texts: str) -> None:
    settings = {
        "audio.tts.engine": "openai",
        "audio.tts.model": "tts-1",
        "audio.tts.voice": "alloy",
        "audio.tts.openai.api_base_url": url,
        "audio.tts.openai.api_key": key,
        "audio.tts.openai.params": {},
    }
    logging.disable(logging.CRITICAL)
    async with aiohttp.ClientSession() as session:
        functions = functions_of(settings, session)
        models = await functions["get_available_models"](None)
        voices = await functions["get_available_voices"](None)
        with tempfile.TemporaryDirectory() as folder:
            spoken = [await speak(functions, Path(folder), text) for text in texts]
    print(json.dumps({"models": models, "voices": voices, "spoken": spoken}))


asyncio.run(main(*sys.argv[1:]))
