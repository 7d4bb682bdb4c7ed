"""Rates the point between two words by how the first one ends: stops, abbreviations, quotes."""

import re
from enum import IntEnum

from orpheus_server.text.cleaning import TAG
from orpheus_server.text.marks import BEFORE_WORD, CLAUSE_MARKS, CLOSERS, DASHES, QUOTES, STOPS


class BreakStrength(IntEnum):
    """How well a text can be cut at a break point; GLUED is the last resort."""

    GLUED = 0
    SPACE = 1
    CLAUSE = 2
    LINE = 3
    SENTENCE = 4
    PARAGRAPH = 5


_LAST_TAG = re.compile(rf"{TAG.pattern}$")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_FIRST_WORD = re.compile(r"[^\W\d_]*")

# Abbreviations whose full stop does not end a sentence.
_ABBREVIATION = re.compile(
    "mr|mrs|ms|mx|dr|prof|vs|e.g|i.e|a.k.a|fig|figs|cf|viz|"
    "gen|col|sen|rep|gov|sgt|lt|capt|cmdr|maj|rev|hon|pres|mt|"
    "z.b|d.h|u.a|bzw|bspw|ggf|evtl|ca|nr|hr|fr|mme|mlle|sra|srta|dra|ud|uds".replace(".", r"\.")
)
# The same, unless the next word begins a sentence: "at Apple Inc. She left", "on Main St. The".
_FINAL_ABBREVIATION = re.compile(
    "st|ave|blvd|rd|jr|sr|inc|ltd|co|corp|llc|dept|est|approx|incl|excl|tel|ext|ft|lbs|hrs|al|"
    r"ph\.d"
)
# Only before a number: "No. 7" but not the answer "No. I will not."; "Dec. 3" but not "the dec."
_NUMBER_ABBREVIATION = re.compile(
    "no|nos|vol|p|pp|ch|sec|art|abb|bd|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
# What a number goes on with after a space: more digits, a scale, or a unit, which is no word alone.
_IN_NUMBER = re.compile(
    r"\d|(?:[%‰°€$£¥]|[kcmµμn]?m|[kmµμ]?g|m?[lL]|[kMGT]?(?:B|W|Wh|Hz|V)|[ap]\.?m|[AP]\.?M|ms|"
    r"million|billion|trillion|thousand)(?!\w)"
)
_SHORT_NUMBER = re.compile(r"\d{1,2}")
# These end a sentence if a capital follows.
CLOSING_ABBREVIATION = re.compile(r"etc|a\.m|p\.m|usw")

# Words with a capital only where a sentence begins, in English and German.
_SENTENCE_START = re.compile(
    "the|this|that|these|those|there|then|it|its|he|his|she|her|we|our|you|your|they|their|i|my|"
    "and|but|so|or|if|when|while|where|what|who|why|how|which|in|on|at|for|from|with|after|before|"
    "please|yes|no|not|now|some|all|most|many|each|every|another|both|here|as|because|although|"
    "however|is|are|was|were|do|does|did|would|should|could|have|has|had|let|"
    "der|die|das|es|er|sie|wir|ihr|ich|und|aber|oder|wenn|als|dann|danach|nun|im|am|um|auf|bei|"
    "mit|nach|vor|für|ein|eine|einer|man|was|wer|wie|wo|warum|hier|dort|diese|dieser|dieses"
)


def rate_break(
    left: str, right: str, *, at_least: BreakStrength = BreakStrength.GLUED
) -> BreakStrength:
    """Returns how well a text can be cut between the end of one word and the start of another."""
    left = _LAST_TAG.sub("", left)
    core = left.rstrip(CLOSERS)
    strength = max(_rate_ending(core, right), at_least)
    if strength > BreakStrength.SPACE and any(char in QUOTES for char in left[len(core) :]):
        if right[0].islower():
            return BreakStrength.GLUED
        # In scripts without case, either "he said" or a new sentence may follow.
        if right[0].isalpha() and not right[0].isupper():
            return BreakStrength.CLAUSE
    return strength


def needs_whole_word(left: str) -> bool:
    """Whether the rating after a word depends on more than the first letter of the next one."""
    core = _LAST_TAG.sub("", left).rstrip(CLOSERS)
    return core[-1:] == "." and _may_end(core[:-1].lstrip(BEFORE_WORD))


def _may_end(word: str) -> bool:
    """Whether a full stop after the word ends a sentence only before certain words."""
    forms = (_FINAL_ABBREVIATION, _SHORT_NUMBER, _ACRONYM)
    return any(form.fullmatch(word.lower()) for form in forms)


def _rate_ending(word: str, right: str) -> BreakStrength:
    if word[-1:] in tuple(CLAUSE_MARKS) or (word and not word.strip(DASHES)):
        return BreakStrength.CLAUSE
    stem = word.rstrip(STOPS)
    stops = word[len(stem) :]
    following = right.lstrip(BEFORE_WORD)
    if not stops:
        is_number = stem[-1:].isdigit() and _IN_NUMBER.match(following) is not None
        return BreakStrength.GLUED if is_number else BreakStrength.SPACE
    if stops == ".":
        return _rate_full_stop(stem.lstrip(BEFORE_WORD), following)
    if not stops.strip(".…") and following[:1].islower():
        return BreakStrength.CLAUSE
    return BreakStrength.SENTENCE


def _rate_full_stop(word: str, following: str) -> BreakStrength:
    """Rates a single full stop between `word` and the next word."""
    name, first = word.lower(), following[:1]
    # "I." ends a sentence ("So am I.") far more often than it is an initial.
    is_initial = len(word) == 1 and word.isalpha() and word != "I"
    if is_initial or _ABBREVIATION.fullmatch(name):
        return BreakStrength.GLUED
    if first.isdigit() and _NUMBER_ABBREVIATION.fullmatch(name):
        return BreakStrength.GLUED
    if _may_end(word) and starts_sentence(following):
        return BreakStrength.SENTENCE
    if _FINAL_ABBREVIATION.fullmatch(name):
        return BreakStrength.GLUED
    if _SHORT_NUMBER.fullmatch(word) and first.isalpha():
        # German ordinals are written like this: "am 24. Dezember".
        return BreakStrength.CLAUSE if first.isupper() else BreakStrength.GLUED
    if CLOSING_ABBREVIATION.fullmatch(name):
        return BreakStrength.SENTENCE if first.isupper() else BreakStrength.SPACE
    if _ACRONYM.fullmatch(word):
        # "the U.S. Government" and "the U.S. Congress met" look alike.
        return BreakStrength.CLAUSE if first.isupper() else BreakStrength.SPACE
    return BreakStrength.SENTENCE


def starts_sentence(following: str) -> bool:
    """Whether the text starts with a word that has a capital only where a sentence begins."""
    match = _FIRST_WORD.match(following)
    assert match is not None, "it matches the empty string"
    return match[0][:1].isupper() and _SENTENCE_START.fullmatch(match[0].lower()) is not None
