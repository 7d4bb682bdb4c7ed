"""Reads the markup of a text that arrives in pieces, and applies the rules to it.

Only the text around a place decides what it means, so it does not matter where the text was cut.
"""

import re

from orpheus_server.text.markdown import rules
from orpheus_server.text.markdown.rules import LATIN, PICTURES, Effect, Rule
from orpheus_server.text.markdown.spans import (
    BracketKind,
    Skip,
    find_brackets,
    find_cut_brackets,
    skip_address,
    skip_code,
    skip_target,
    skip_to,
)
from orpheus_server.text.markdown.writer import LineKind, SpokenWriter

# A construct that is still open after this many characters is not markup.
MAX_OPEN_CHARS = 400
# How far the rules look back.
_NUM_CONTEXT_CHARS = 3

# A URL may follow a word of another script without a space.
_WORD = re.compile(rf"[{LATIN}]+|[^\W_{LATIN}{PICTURES}]+")
# "a<b and b>c" has no element: a one-letter name may only be followed by an attribute.
_ELEMENT = re.compile(
    r"/?([A-Za-z](?=\s*/?\Z|\s+[\w-]+\s*=)|[A-Za-z][A-Za-z0-9]+)(?:[\s/].*)?", re.DOTALL
)
_UNKNOWN_ELEMENT = re.compile(r"[\w/-]+")

# "\\," and similar commands; two backslashes end a line.
_FORMULA_SPACE = frozenset("\\,;:!")

_LINE_EFFECTS = {
    Effect.ITEM: LineKind.ITEM,
    Effect.NUMBER: LineKind.NUMBER,
    Effect.ROW: LineKind.ROW,
}
_LINE_EFFECTS |= {Effect.HEADING: LineKind.HEADING}


class MarkdownReader:
    """Writes the words of a text to `writer`, except a last word or mark that may be incomplete.

    It waits only for a construct that is really open, and for at most `MAX_OPEN_CHARS` characters.
    """

    def __init__(
        self, *, tags: frozenset[str], is_inside: bool = False, is_formula: bool = False
    ) -> None:
        self.writer = SpokenWriter()
        self._tags = tags
        self._buffer = " " if is_inside else "\n"
        self._at = len(self._buffer)
        self._is_line_start = not is_inside
        self._is_formula = is_formula
        # Skips a construct that is left out, however long it is.
        self._skip: Skip | None = None

    def read(self, text: str, *, is_end: bool) -> None:
        """Reads more text. At the end, an open construct is read as plain text."""
        self._buffer += text
        self._is_end = is_end
        while self._at < len(self._buffer) and self._go_on():
            pass
        start = max(0, self._at - _NUM_CONTEXT_CHARS)
        self._buffer = self._buffer[start:]
        self._at -= start

    def _go_on(self) -> bool:
        return self._skip_on(self._skip) if self._skip else self._step()

    def _step(self) -> bool:
        """Reads the next word, mark or construct. Returns False if it may be incomplete."""
        char = self._buffer[self._at]
        if char.isspace():
            self._take_space(char)
            return True
        self._stop = min(len(self._buffer), self._at + MAX_OPEN_CHARS)
        self._may_wait = not self._is_end and self._stop - self._at < MAX_OPEN_CHARS
        for at_line_start in (True, False)[not self._is_line_start :]:
            for rule in rules.rules_for(char, at_line_start=at_line_start):
                if self._may_wait and rule.open.match(self._buffer, self._at, self._stop):
                    return False
                match = rule.full.match(self._buffer, self._at, self._stop)
                if match and self._do(rule, match):
                    return True
        return self._take_mark(char)

    def _take_mark(self, char: str) -> bool:
        """Reads what no rule covers: brackets, and marks whose meaning depends on the line."""
        if char in "[!":
            return self._take_brackets(char)
        if char in "{}" and self._is_formula:
            if self._may_wait and self._at + 1 == self._stop:
                return False
            is_fraction = self._buffer.startswith("}{", self._at)
            self.writer.put("/" * is_fraction)
            return self._move(self._at + 1 + is_fraction)
        if char == "|" and self.writer.line_kind is LineKind.ROW:
            self.writer.pause()
            return self._move(self._at + 1)
        word = _WORD.match(self._buffer, self._at)
        return self._write(word.end() if word else self._at + 1)

    def _take_space(self, char: str) -> None:
        self._at += 1
        if char != "\n":
            self.writer.space(char)
            return
        # A formula ends at a blank line.
        self._is_formula &= not self._is_line_start
        self._end_line()

    def _end_line(self) -> None:
        self.writer.end_line()
        self._is_line_start = True

    def _move(self, end: int) -> bool:
        self._is_line_start = False
        self._at = end
        return True

    def _write(self, end: int) -> bool:
        self.writer.put(self._buffer[self._at : end])
        return self._move(end)

    def _speak(self, text: str, *, is_formula: bool = False) -> None:
        """Speaks text that may contain markup itself."""
        is_formula = is_formula or self._is_formula
        inner = MarkdownReader(tags=self._tags, is_inside=True, is_formula=is_formula)
        inner.read(text, is_end=True)
        spoken = " ".join(inner.writer.take().split())
        self.writer.num_left_out += inner.writer.num_left_out
        if spoken:
            self.writer.put(spoken)
        else:
            self.writer.leave_out()

    def _do(self, rule: Rule, match: re.Match[str]) -> bool:
        """Applies a rule. Returns False if it turns out not to apply."""
        text, end = rule.spoken(match), match.end()
        match rule.effect:
            case Effect.ESCAPE if self._is_formula and text in _FORMULA_SPACE:
                self.writer.pause() if text == "\\" else self.writer.begin_word()
            case Effect.TEXT | Effect.ESCAPE:
                self.writer.put(text)
            case Effect.SPEAK | Effect.FORMULA:
                self._speak(text, is_formula=rule.effect is Effect.FORMULA)
            case Effect.HEADING_END if self.writer.line_kind is not LineKind.HEADING:
                return False
            case Effect.DROP | Effect.HEADING_END:
                self.writer.drop()
            case Effect.LEAVE_OUT | Effect.PAUSE:
                return self._take_sign(rule.effect, text, end)
            case Effect.ITEM | Effect.NUMBER | Effect.ROW | Effect.HEADING | Effect.QUOTE:
                return self._take_prefix(rule.effect, text, end)
            case Effect.LINE | Effect.UNDERLINE:
                if rule.effect is Effect.UNDERLINE:
                    self.writer.underline()
                self.writer.line_kind = LineKind.PLAIN
                self._at = end
                return True
            case Effect.FENCE | Effect.BLOCK:
                return self._take_block(rule.effect, text, end)
            case Effect.ADDRESS:
                return self._take_address(text)
            case Effect.ELEMENT:
                return self._take_element(text, end)
            case Effect.MATH:
                self._is_formula = not self._is_formula if text == "$$" else text in ("\\(", "\\[")
                self.writer.drop()
            case Effect.COMMAND:
                return self._take_command(text, end)
        return self._move(end)

    def _take_sign(self, effect: Effect, text: str, end: int) -> bool:
        """Reads a picture or arrow; at the start of a line it is a list marker."""
        if self._is_line_start and self.writer.line_kind is LineKind.PLAIN:
            self.writer.line_kind = LineKind.ITEM
        if effect is Effect.LEAVE_OUT:
            self.writer.leave_out(rules.count_pictures(text))
        elif not self._is_line_start:
            self.writer.pause()
        self._at = end
        return True

    def _take_prefix(self, effect: Effect, text: str, end: int) -> bool:
        self.writer.line_kind = _LINE_EFFECTS.get(effect, self.writer.line_kind)
        self._at = end
        self._is_line_start = effect in (Effect.ITEM, Effect.NUMBER, Effect.QUOTE)
        self.writer.drop()
        self.writer.put(text)
        return True

    def _take_block(self, effect: Effect, text: str, end: int) -> bool:
        self._at = end
        self.writer.leave_out()
        if effect is Effect.BLOCK:
            self._skip = skip_to(text)
            return True
        # So that the text before is spoken while the code is still being written.
        self.writer.end_paragraph()
        self._end_line()
        fence = text[: len(text) - len(text.lstrip(text[0]))]
        self._skip = skip_code(fence)
        return True

    def _take_address(self, text: str) -> bool:
        host = text.rpartition("/")[2].rstrip("._-")
        self._move(self._at + len(text.rstrip("._-")))
        self.writer.put(host[4:] if host[:4].lower() == "www." else host)
        if self._buffer[self._at : self._at + 1] in {*"/?#:@"}:
            self._skip = skip_address
        return True

    def _take_element(self, text: str, end: int) -> bool:
        name = _ELEMENT.fullmatch(text)
        effect = rules.ELEMENTS.get(name[1].lower()) if name else None
        if " ".join(text.split()).casefold() in self._tags:
            return self._write(end)
        if name and self._buffer[self._at - 1] == "`":
            self.writer.put(name[1])
        elif effect is None:
            # Tags of other voices and words in angle brackets are handled by `clean_text`.
            return _UNKNOWN_ELEMENT.fullmatch(text) is not None and self._write(end)
        elif effect is Effect.PAUSE or (
            effect is Effect.BREAK and self.writer.line_kind is LineKind.ROW
        ):
            self.writer.pause()
        elif effect is Effect.DROP or (effect is Effect.ITEM and text[0] == "/"):
            self.writer.drop()
        else:
            self._end_line()
            self.writer.line_kind = _LINE_EFFECTS.get(effect, LineKind.PLAIN)
            self._at = end
            return True
        return self._move(end)

    def _take_command(self, name: str, end: int) -> bool:
        sign = rules.SIGNS.get(name)
        if sign is not None and sign in "→⇒":
            self.writer.pause()
        elif sign is not None:
            self.writer.put(sign)
        elif name in rules.SILENT_COMMANDS and (
            self._is_formula or self._buffer[end : end + 1] == "{"
        ):
            self.writer.drop()
        elif self._is_formula:
            self.writer.begin_word()
            self.writer.put(name)
        else:
            return False
        return self._move(end)

    def _take_brackets(self, char: str) -> bool:
        """Reads a link, an image or a note; other text keeps its brackets."""
        is_image = char == "!"
        start = self._at + is_image
        if start == self._stop and self._may_wait:
            return False
        if self._buffer[start : start + 1] != "[":
            return self._write(start)
        found = find_brackets(self._buffer, start, self._stop, is_image=is_image)
        if isinstance(found, int):
            if self._may_wait:
                return False
            found = find_cut_brackets(self._buffer, start, self._stop, is_image=is_image)
        if found is None:
            return self._write(self._at + 1)
        if found.kind is BracketKind.NOTE:
            self.writer.leave_out()
        else:
            self._speak(found.text)
        if found.kind is BracketKind.CUT_LINK:
            self._skip = skip_target
        return self._move(found.end)

    def _skip_on(self, skip: Skip) -> bool:
        self._at, is_done = skip(self._buffer, self._at, self._is_end)
        if is_done:
            self._skip = None
        return is_done
