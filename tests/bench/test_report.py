"""The exact text of the machine's card and the JSON line."""

import pytest

from orpheus_server.bench import report
from orpheus_server.bench.machine_card import MachineCard, ServerFacts

CARD = MachineCard(
    cpu="A CPU",
    num_cores=2,
    memory_gib=23.5,
    gpus=(),
    system="Linux 6",
    python="3.11.7",
    packages={"orpheus-server": "0.1.0", "numpy": "2.3.5"},
)


def test_card() -> None:
    assert report.card_text(CARD, ServerFacts(model="pocket on CPU", version="0.1.0")) == (
        "machine: A CPU, 2 cores, 23.5 GiB, no GPU, Linux 6\n"
        "client:  Python 3.11.7, orpheus-server 0.1.0, numpy 2.3.5\n"
        "server:  0.1.0; pocket on CPU"
    )
    unknown = report.card_text(CARD, ServerFacts(model=None, version=None))
    assert unknown.endswith("\nserver:  unknown version; unknown model")


def test_the_peer() -> None:
    known = ServerFacts(model="a model", version="1.2")
    assert report.peer_text("http://peer", known) == "peer:    1.2; a model; http://peer"
    assert report.peer_text("http://peer", ServerFacts(model=None, version=None)) == (
        "peer:    unknown version; unknown model; http://peer"
    )


class TestJson:
    def test_one_line_of_rounded_numbers(self) -> None:
        document = {"texts": "a\nb", "values": (1, 0.1234567, None, True)}
        assert report.json_line(document) == (
            '{"texts": "a\\nb", "values": [1, 0.123457, null, true]}'
        )

    def test_nan_is_rejected(self) -> None:
        with pytest.raises(ValueError, match="JSON"):
            report.json_line({"value": float("nan")})
