"""Rules are applied one after the other."""

import re

from orpheus_server.text.english.rules import any_of, apply_rules, compile_rules


def test_a_rule_sees_the_result_of_the_one_before() -> None:
    rules = compile_rules(("a", "b"), ("b", lambda match: match[0].upper()))
    assert apply_rules("abc", rules) == "BBc"


def test_the_longest_name_matches() -> None:
    assert re.fullmatch(any_of(("m", "m/s", "mm")), "m/s")
    assert re.match(any_of(("m", "mm")), "mmm") is not None
