"""The picture is a PNG of the promised size."""

import struct
from pathlib import Path

import pytest

from orpheus_server.bench.speech.plot import write_plot
from orpheus_server.bench.speech.report import LevelReport
from tests.bench.results import failed, level, one_round


@pytest.mark.parametrize(
    "levels",
    [
        [level("short", 1), level("short", 4), level("short", 16), level("long", 1)],
        [level("short", 3)],
        [level("short", 1, one_round(failed("503")))],
    ],
    ids=["several", "one level", "nothing but failures"],
)
def test_png(tmp_path: Path, levels: list[LevelReport]) -> None:
    file = tmp_path / "bench.png"
    write_plot(levels, file, title="a model\na machine")
    data = file.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[12:16] == b"IHDR"
    assert struct.unpack(">II", data[16:24]) == (1200, 800)
    assert len(data) > 10_000
