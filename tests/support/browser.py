"""Chromium, and pages of it that report what they should not do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

# The policy of a page may forbid it to fetch its own blobs, so they are kept where they are made.
_KEEP_BLOBS = """
window.blobs = new Map();
const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
URL.createObjectURL = (blob) => {
  const url = create(blob);
  window.blobs.set(url, blob);
  return url;
};
URL.revokeObjectURL = (url) => {
  window.blobs.delete(url);
  revoke(url);
};
"""

_LIMIT_MS = 120_000
"""Reached only by a test that fails, even on a busy machine."""

_DECODE = """async (audio) => {
  const data = await window.blobs.get(audio.currentSrc).arrayBuffer();
  const decoded = await new OfflineAudioContext(1, 1, 24000).decodeAudioData(data);
  const samples = decoded.getChannelData(0);
  const squares = samples.reduce((sum, sample) => sum + sample * sample, 0);
  return { duration_sec: decoded.duration, rms: Math.sqrt(squares / samples.length) };
}"""

_PLAY = """async (audio) => {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaElementSource(audio).connect(analyser).connect(context.destination);
  const samples = new Float32Array(analyser.fftSize);
  await context.resume();
  await audio.play();
  let peak = 0;
  while (!audio.ended) {
    await new Promise(requestAnimationFrame);
    analyser.getFloatTimeDomainData(samples);
    peak = samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), peak);
  }
  return { played_sec: audio.currentTime, peak };
}"""


@dataclass(frozen=True)
class Decoded:
    """What the browser's decoder makes of the data of an `<audio>`; full scale is 1."""

    duration_sec: float
    rms: float


@dataclass(frozen=True)
class Played:
    """Where playback ended, and the largest sample that left the `<audio>` until then."""

    played_sec: float
    peak: float


def decode(audio: "Locator") -> Decoded:
    """Decodes the blob that an `<audio>` has loaded."""
    return Decoded(**audio.evaluate(_DECODE))


def play(audio: "Locator") -> Played:
    """Plays an `<audio>` to its end."""
    return Played(**audio.evaluate(_PLAY))


@contextmanager
def open_page(browser: "Browser", url: str, problems: list[str]) -> Iterator["Page"]:
    """Opens an empty page, with the server at `url` as the base of its addresses.

    Adds errors, and requests to other servers, which are blocked, to `problems`.
    """
    context = browser.new_context(base_url=url)
    context.set_default_timeout(_LIMIT_MS)
    try:
        context.add_init_script(_KEEP_BLOBS)

        def pass_own(route: Any) -> None:
            if _is_own(route.request.url, url):
                route.continue_()
            else:
                problems.append(f"request to {route.request.url}")
                route.abort()

        def check_socket(socket: Any) -> None:
            if not _is_own(socket.url, url):
                problems.append(f"WebSocket to {socket.url}")

        def check_console(message: Any) -> None:
            if message.type == "error":
                problems.append(f"console: {message.text}")

        context.route("**/*", pass_own)
        page = context.new_page()
        page.on("console", check_console)
        page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
        page.on("websocket", check_socket)
        yield page
    finally:
        context.close()


def _is_own(address: str, url: str) -> bool:
    return urlsplit(address).netloc == urlsplit(url).netloc
