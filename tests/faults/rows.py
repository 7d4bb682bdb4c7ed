"""The table of the cases: what was done to a real server and how it reacted."""

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import pytest


@dataclass(frozen=True, slots=True)
class Row:
    """One case; times are in seconds, memory is the server process's in MB."""

    case: str
    done: str
    seen: str
    engine_free: str = "-"
    memory: str = "-"
    change: str = "-"
    answers_after: str = "-"
    verdict: str = "held"


ROWS = pytest.StashKey[list[Row]]()

HEAD = (
    "case",
    "what was done",
    "what was seen",
    "engine free after",
    "memory (most)",
    "change",
    "answers afterwards",
    "verdict",
)


def markdown(rows: Iterable[Row]) -> str:
    """Returns a Markdown table, sorted by the number of the case."""
    assert len(HEAD) == len(fields(Row))
    lines = [HEAD, ("---",) * len(HEAD)]
    lines += [astuple(row) for row in sorted(rows, key=_order)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _order(row: Row) -> tuple[int, str]:
    number = re.match(r"[0-9]+", row.case)
    return (int(number[0]) if number else 999, row.case)


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
