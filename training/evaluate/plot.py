"""One plot as SVG: the word error rate of each row, of the teacher, raw and served."""

from collections.abc import Mapping, Sequence
from html import escape

from training.evaluate.summary import Row

COLOURS = ("#9aa5b1", "#d9822b", "#2b6cb0", "#2f855a", "#805ad5")
LABEL_WIDTH, BAR_WIDTH, RATE_WIDTH = 190, 520, 70
BAR_HEIGHT, GAP, HEAD = 11, 9, 58


def plot_error_rates(tables: Mapping[str, Mapping[str, Row]], title: str) -> str:
    """Returns an SVG with a group of bars for each row of `tables` (name to rows)."""
    rows = list(dict.fromkeys(name for table in tables.values() for name in table))
    largest = max(
        (row["word_error_rate"] for table in tables.values() for row in table.values()),
        default=1.0,
    )
    top_rate = max(0.05, largest)
    group_height = BAR_HEIGHT * len(tables) + GAP
    width = LABEL_WIDTH + BAR_WIDTH + RATE_WIDTH
    height = HEAD + group_height * len(rows) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(title)}</text>',
        *_legend(list(tables)),
    ]
    for index, name in enumerate(rows):
        top = HEAD + index * group_height
        middle = top + BAR_HEIGHT * len(tables) / 2 + 4
        parts.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        )
        for number, table in enumerate(tables.values()):
            if name in table:
                rate = table[name]["word_error_rate"]
                y = top + number * BAR_HEIGHT
                length = BAR_WIDTH * rate / top_rate
                parts.append(
                    f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" '
                    f'height="{BAR_HEIGHT - 2}" fill="{COLOURS[number % len(COLOURS)]}"/>'
                    f'<text x="{LABEL_WIDTH + length + 4:.1f}" y="{y + 9}" font-size="9">'
                    f"{rate:.3f}</text>"
                )
    return "\n".join((*parts, "</svg>\n"))


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], LABEL_WIDTH
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<rect x="{x}" y="32" width="10" height="10" fill="{colour}"/>'
            f'<text x="{x + 14}" y="41">{escape(name)}</text>'
        )
        x += 30 + 7 * len(name)
    return parts
