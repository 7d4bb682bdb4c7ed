"""The machine's card and the JSON document, letter by letter."""

import json

import pytest

from orpheus_server.bench import report
from orpheus_server.bench.machine_card import MachineCard, ServerFacts
from orpheus_server.bench.speech.report import level_document
from tests.bench.results import failed, level, one_round

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


class TestJson:
    def test_level(self) -> None:
        document = level_document(level("short", 2, one_round(), one_round(failed("503"))))
        read = json.loads(report.json_line(document))
        assert (read["texts"], read["concurrency"]) == ("short", 2)
        assert read["summary"]["num_requests"] == 2
        assert [each["first_audio_sec"] for each in read["rounds"]] == [
            {"p50": 0.25, "p95": 0.25, "p99": 0.25},
            None,
        ]

    def test_one_line_of_rounded_numbers(self) -> None:
        document = {"texts": "a\nb", "values": (1, 0.1234567, None, True)}
        assert report.json_line(document) == (
            '{"texts": "a\\nb", "values": [1, 0.123457, null, true]}'
        )

    def test_no_number_that_json_lacks(self) -> None:
        with pytest.raises(ValueError, match="JSON"):
            report.json_line({"value": float("nan")})
