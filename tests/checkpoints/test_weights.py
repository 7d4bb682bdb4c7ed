"""The files requested from the hub, the errors if they are not available, and their sizes."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from orpheus_server.checkpoints.download import Download
from orpheus_server.checkpoints.weights import (
    CHAT_FILES,
    CHAT_GATE_HINT,
    CODEC_FILES,
    MODEL_FILES,
    WeightSize,
    find_files,
    weigh,
)
from orpheus_server.errors import StartError
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from tests.support.hub import COMMIT, StubHub

MODEL = "canopylabs/orpheus-3b-0.1-ft"
PUBLISHED_FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors.index.json": b"{}",
    "model-00001-of-00002.safetensors": b"one",
    "model-00002-of-00002.safetensors": b"two",
    "optimizer.bin": b"100 GB",
    "optimizer_0/optimizer.pt": b"shard",
    "pytorch_model_fsdp.bin": b"shard",
    "pytorch_model_fsdp_0/__0_0.distcp": b"shard",
    "scheduler.pt": b"more",
    "rng_state_0.pth": b"more",
    "training_args.bin": b"more",
    "README.md": b"text",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StubHub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with StubHub({name: PUBLISHED_FILES for name in ("owner/name", MODEL)}) as hub:
        yield hub


def fetch(hub: StubHub, source: str = "owner/name", token: str | None = None) -> Path:
    return find_files(source, patterns=MODEL_FILES, token=token, endpoint=hub.endpoint)


class LoggedDownload(Download):
    """Remembers the bytes that were left after each report."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[int] = []
        self.num_fetched = 0

    def add_written(self, num_bytes: int, *, total_bytes: int) -> None:
        super().add_written(num_bytes, total_bytes=total_bytes)
        self.left.append(self.num_bytes_left)

    def add_fetched(self, num_bytes: int) -> None:
        super().add_fetched(num_bytes)
        self.num_fetched += num_bytes


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_optimizer_shards_are_never_downloaded(hub: StubHub) -> None:
    """The published repository is 100 GB with them and 6 GB without (taresh18 README)."""
    folder = fetch(hub)
    wanted = {
        "config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert names_in(folder) == wanted
    assert (folder / "model-00002-of-00002.safetensors").read_bytes() == b"two"
    requested = {
        path.partition(f"/resolve/{COMMIT}/")[2] for path in hub.requested if "/resolve/" in path
    }
    assert requested == wanted


def test_the_progress_is_reported(hub: StubHub) -> None:
    """The progress bars are not shown in a log, and then count nothing themselves."""
    download = LoggedDownload()
    hub.repos["owner/one"] = {"config.json": bytes(5000)}

    def fetch_one() -> None:
        find_files(
            "owner/one",
            patterns=MODEL_FILES,
            token=None,
            endpoint=hub.endpoint,
            download=download,
        )

    fetch_one()
    assert (download.num_fetched, download.left[-1]) == (5000, 0)
    # It is over, whatever was left of it.
    assert (download.num_bytes_left, download.left_sec) == (0, 0.0)
    fetch_one()
    assert download.num_fetched == 5000


def test_a_download_that_fails_is_over(hub: StubHub) -> None:
    download = Download()
    download.add_fetched(1)
    download.add_written(1, total_bytes=9)
    hub.refusal = (404, "RepoNotFound")
    with pytest.raises(StartError):
        find_files(
            "owner/one",
            patterns=MODEL_FILES,
            token=None,
            endpoint=hub.endpoint,
            download=download,
        )
    assert download.num_bytes_left == 0


def test_codec_files(hub: StubHub) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": b"x", "README.md": b"", "a/b.bin": b""}
    hub.repos["owner/snac"] = files
    folder = find_files("owner/snac", patterns=CODEC_FILES, token=None, endpoint=hub.endpoint)
    assert names_in(folder) == {"config.json", "pytorch_model.bin"}


def test_the_token_is_sent(hub: StubHub) -> None:
    fetch(hub, token="hf_mine")
    assert hub.tokens == {"Bearer hf_mine"}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("refuses_lists", [True, False])
def test_a_gated_checkpoint(hub: StubHub, status: int, refuses_lists: bool) -> None:
    """Users got a bare 401 that did not say what to do (ComfyUI-Orpheus-TTS#6).

    The hub lists the files of a gated repository for everyone, but refuses to send them.
    """
    hub.refusal, hub.refuses_lists = (status, "GatedRepo"), refuses_lists
    with pytest.raises(StartError) as caught:
        fetch(hub, MODEL)
    message = str(caught.value)
    assert message.startswith("canopylabs/orpheus-3b-0.1-ft is gated")
    assert "set HF_TOKEN" in message
    assert "TTS_MODEL_NAME=unsloth/orpheus-3b-0.1-ft" in message


def test_a_gated_language_model(hub: StubHub) -> None:
    """The error recommended the mirror of a voice."""
    hub.refusal = (401, "GatedRepo")
    hub.repos["google/gemma-2-2b-it"] = PUBLISHED_FILES
    with pytest.raises(StartError) as caught:
        find_files(
            "google/gemma-2-2b-it",
            patterns=CHAT_FILES,
            token=None,
            endpoint=hub.endpoint,
            gate_hint=CHAT_GATE_HINT,
        )
    assert str(caught.value) == (
        "google/gemma-2-2b-it is gated: accept its conditions on the hub and set HF_TOKEN."
    )


def test_files_of_a_language_model(hub: StubHub) -> None:
    wanted = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "tokenizer.model": b"",
        "chat_template.jinja": b"",
        "model-00001-of-00001.safetensors": b"",
        "README.md": b"",
    }
    others = {"gemma.gguf": b"", "consolidated.safetensors": b"", "original/params.bin": b""}
    hub.repos["owner/chat"] = wanted | others
    folder = find_files("owner/chat", patterns=CHAT_FILES, token=None, endpoint=hub.endpoint)
    assert names_in(folder) == set(wanted)


@pytest.mark.parametrize("refusal", [(404, "RepoNotFound"), (401, "RepoNotFound")])
def test_an_unknown_repository(hub: StubHub, refusal: tuple[int, str]) -> None:
    hub.refusal = refusal
    with pytest.raises(StartError) as caught:
        fetch(hub)
    assert str(caught.value) == (
        "the hub has no 'owner/name', or it is private and HF_TOKEN has no access to it; and there "
        f"is no folder {Path('owner/name').absolute()}."
    )


def test_a_hub_that_fails(hub: StubHub) -> None:
    hub.refusal = (418, "")
    with pytest.raises(StartError, match="owner/name could not be fetched from the hub: .*418"):
        fetch(hub)


def test_an_unreachable_hub(hub: StubHub) -> None:
    """It had three lines, with advice of the hub's library."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(StartError) as caught:
            find_files("owner/name", patterns=MODEL_FILES, token=None, endpoint=endpoint)
    assert str(caught.value) == (
        "owner/name could not be fetched from the hub: ConnectError: [Errno 111] Connection "
        "refused. Check the connection to the hub, or name a folder: there is no folder "
        f"{Path('owner/name').absolute()}."
    )


def test_downloaded_files_are_used_without_a_hub(hub: StubHub) -> None:
    folder = fetch(hub)
    endpoint = "http://127.0.0.1:1"
    assert find_files("owner/name", patterns=MODEL_FILES, token=None, endpoint=endpoint) == folder


def test_a_folder_is_used_without_the_hub(hub: StubHub, tmp_path: Path) -> None:
    assert fetch(hub, str(tmp_path)) == tmp_path
    assert hub.requested == []


@pytest.mark.parametrize(
    "source",
    ["name", "a/b/c", "/no/such", "./owner/name", "~/x", "~no-such-user/x", "name/", "a\\b/c"],
)
def test_a_source_that_is_neither_a_folder_nor_an_id(hub: StubHub, source: str) -> None:
    with pytest.raises(StartError) as caught:
        fetch(hub, source)
    folder = Path(source).expanduser() if source == "~/x" else Path(source)
    assert str(caught.value) == (
        f"{source!r}: there is no folder {folder.absolute()}, and it is not a hub id like "
        "'owner/name'."
    )
    assert hub.requested == []


def test_an_invalid_id(hub: StubHub) -> None:
    """The library's ValueError was not translated and looked like a bug of the server."""
    with pytest.raises(StartError, match="could not be fetched from the hub: Repo id must"):
        fetch(hub, "own er/na--me")
    assert hub.requested == []


def header(fields: dict[str, object]) -> bytes:
    """Returns a safetensors header: its length and its JSON text."""
    text = json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text


def write_weights(path: Path, **tensors: tuple[str, list[int], int]) -> None:
    """Writes a safetensors file without data: type, shape and bytes of each tensor."""
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, num_bytes) in tensors.items():
        fields[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + num_bytes]}
        at += num_bytes
    path.write_bytes(header(fields))


def test_the_size_of_weights(tmp_path: Path) -> None:
    """Two files are in the index; a third one repeats their weights."""
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_weights(tmp_path / first, a=("BF16", [10, 3], 60), b=("F32", [], 4))
    write_weights(tmp_path / second, c=("I32", [5], 20))
    write_weights(tmp_path / "model.safetensors", c=("F32", [5], 20))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": first, "b": first, "c": second}}))
    size = weigh(tmp_path)
    assert size == WeightSize(num_floats=31, num_others=5, other_bytes=20)
    assert (size.num_parameters, size.loaded_bytes(2), size.loaded_bytes(4)) == (36, 82, 144)
    index.unlink()
    assert weigh(tmp_path) == WeightSize(36, 5, 20)


def test_the_size_of_the_bundled_voice() -> None:
    size = weigh(POCKET_FOLDER)
    stored = (POCKET_FOLDER / "model.safetensors").stat().st_size
    assert size.num_parameters > 1_000_000
    assert size.num_others == 0
    assert (
        abs(stored - size.loaded_bytes(2)) < 50_000 or abs(stored - size.loaded_bytes(4)) < 50_000
    )


def test_a_folder_without_weights(tmp_path: Path) -> None:
    assert weigh(tmp_path) == WeightSize(0, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff" * 20, b"\x02" + bytes(7) + b"[]", b"\x09" * 40),
        b"\x09" + bytes(7) + b"{}",
        header({"a": {"dtype": "I8", "shape": [3]}}),
        header({"a": {"dtype": "I8", "shape": [3], "data_offsets": [1]}}),
        header({"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 12]}}),
        header({"a": 1}),
    ],
)
def test_an_invalid_safetensors_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(StartError, match="is not a safetensors file"):
        weigh(tmp_path)


def test_a_missing_file_of_the_index(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "a.safetensors"}}')
    with pytest.raises(
        StartError, match=r"a.safetensors is not a safetensors file: .*No such file"
    ):
        weigh(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'])
def test_an_invalid_index(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(StartError, match="is not an index of weights"):
        weigh(tmp_path)
