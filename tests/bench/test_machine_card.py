"""The machine's card, read from `/proc` files that the tests write."""

from pathlib import Path

from orpheus_server import __version__
from orpheus_server.bench.machine_card import read_card


def test_proc_files(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: A CPU: fast\n\nprocessor\t: 1\nmodel name\t: other\n"
    )
    (tmp_path / "meminfo").write_text("MemTotal:       25165824 kB\nMemFree: 1 kB\n")
    gpu = tmp_path / "driver" / "nvidia" / "gpus" / "0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    card = read_card(tmp_path)
    assert (card.cpu, card.memory_gib, card.gpus) == ("A CPU: fast", 24.0, ("NVIDIA H200",))
    assert card.num_cores >= 1
    assert card.packages["orpheus-server"] == __version__
    assert "numpy" in card.packages


def test_missing_proc_files(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\n")
    card = read_card(tmp_path)
    assert card.cpu
    assert (card.memory_gib, card.gpus) == (0.0, ())
