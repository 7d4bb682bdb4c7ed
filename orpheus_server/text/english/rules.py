"""Rules: patterns with their replacements, applied one after the other.

Every pattern takes linear time: a repetition is bounded, or can start only where its run starts.
"""

import re
from collections.abc import Callable, Iterable

Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Replacement]


def compile_rules(*rules: tuple[str, Replacement]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rules)


def apply_rules(text: str, rules: Iterable[Rule]) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def any_of(names: Iterable[str]) -> str:
    """Returns a pattern that matches one of the names, the longest that fits."""
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
