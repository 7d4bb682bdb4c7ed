"""Reads the markup of a text that arrives in pieces, and applies the rules to it."""

import re
from functools import partial

from orpheus_server.text.markdown import rules
from orpheus_server.text.markdown.comparisons import is_comparison
from orpheus_server.text.markdown.construct_reader import ConstructReader, Dialect
from orpheus_server.text.markdown.effects import Effect
from orpheus_server.text.markdown.elements import Element, read_element
from orpheus_server.text.markdown.hyphens import MAX_WORD_CHARS, join_lines
from orpheus_server.text.markdown.rules import LATIN, PICTURES, Rule
from orpheus_server.text.markdown.spans import (
    BracketKind,
    find_brackets,
    find_cut_brackets,
    skip_address,
    skip_code,
    skip_target,
    skip_to,
    split_authority,
)
from orpheus_server.text.markdown.writer import LineKind

# A URL may follow a word of another script without a space.
_WORD = re.compile(rf"[{LATIN}]+|[^\W_{LATIN}{PICTURES}]+")
# "\\," and similar commands; two backslashes end a line.
_FORMULA_SPACE = frozenset("\\,;:!")

_LINE_EFFECTS = {
    Effect.ITEM: LineKind.ITEM,
    Effect.NUMBER: LineKind.NUMBER,
    Effect.ROW: LineKind.ROW,
}
_LINE_EFFECTS |= {Effect.HEADING: LineKind.HEADING}


class MarkdownReader(ConstructReader):
    """Writes the words of a text to `writer`."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        is_inside: bool = False,
        is_formula: bool = False,
        has_begun: bool = False,
    ) -> None:
        super().__init__(dialect, is_inside=is_inside, has_begun=has_begun or is_inside)
        self._is_formula = is_formula
        # Whether a star has started emphasis in this line, or a product in this word.
        self._is_emphasis = self._is_product = False
        # Whether this line and the one above it are quoted.
        self._is_quote = self._is_quote_above = False

    def continued(self) -> "MarkdownReader":
        """Returns a reader of the text that follows, which may be in the same thought."""
        reader = MarkdownReader(self._dialect, has_begun=self.has_begun)
        if self._skip is self._thought:
            reader._skip = reader._thought = self._thought
        return reader

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

    def _take_space(self, char: str) -> bool:
        self._at += 1
        self._is_product = False
        if char != "\n":
            self.writer.space(char)
            return True
        self._is_emphasis = False
        # A formula ends at a blank line.
        self._is_formula &= not self._is_line_start
        self._end_line()
        return True

    def _end_line(self) -> None:
        self.writer.end_line()
        self._is_line_start = True
        self._is_quote, self._is_quote_above = False, self._is_quote

    def _speak(self, text: str, *, is_formula: bool = False, has_address: bool = False) -> None:
        """Speaks text that may contain markup itself, in place of an address if there is one."""
        is_formula = is_formula or self._is_formula
        inner = MarkdownReader(self._dialect, is_inside=True, is_formula=is_formula)
        inner.read(text, is_end=True)
        spoken = " ".join(inner.writer.take().split())
        self.writer.num_left_out += inner.writer.num_left_out
        if spoken:
            self.writer.put(spoken)
            self.writer.num_left_out += has_address
        else:
            self.writer.leave_out()

    def _do(self, rule: Rule, match: re.Match[str]) -> bool:
        """Applies a rule. Returns False if it turns out not to apply."""
        text, end = rule.spoken(match), match.end()
        match rule.effect:
            case Effect.ESCAPE if self._is_formula and text in _FORMULA_SPACE:
                self.writer.pause() if text == "\\" else self.writer.begin_word()
            case Effect.TEXT if rules.PICTURE.match(text):
                # A character that was written as an entity.
                self.writer.pause() if text in rules.ARROWS else self.writer.leave_out()
            case Effect.COMPARISON:
                if self._is_quote_above or not is_comparison(text, self._buffer[end : end + 1]):
                    return False
                self.writer.put(text.rstrip())
                return self._move(self._at + len(text.rstrip()))
            case Effect.STAR if self._is_emphasis or (
                self._dialect.is_chat and not self._is_product
            ):
                return False
            case Effect.SIGN | Effect.STAR if not self._dialect.is_chat:
                self.writer.put(match[0].lstrip("\\"))
            case Effect.SIGN if text == ",":
                self.writer.pause()
            case Effect.SIGN | Effect.STAR:
                self._is_product |= text == "×"
                self.writer.put(text)
            case Effect.EMPHASIS:
                before, after = self._buffer[self._at - 1], self._buffer[end : end + 1]
                self._is_emphasis = not (before.isalnum() or after.isspace())
                self.writer.drop()
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
                # The definition of a link.
                self.writer.num_left_out += any(map(str.isalnum, match[0]))
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
            case Effect.LONG_ELEMENT:
                self.writer.leave_out()
                self._skip = skip_to(">")
            case Effect.HYPHEN:
                return self._take_hyphen(text, end)
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
        self._is_quote |= effect is Effect.QUOTE
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

    def _take_hyphen(self, text: str, end: int) -> bool:
        before = self._buffer[max(0, self._at - MAX_WORD_CHARS) : self._at]
        after = text[1:].lstrip("> \t\r\n")
        joint = join_lines(before, text[0], after, is_word=self._dialect.is_word)
        if joint is None:
            return False
        self.writer.put(joint)
        return self._move(end - len(after))

    def _take_address(self, text: str) -> bool:
        login, host = split_authority(text)
        if text[0] == ":":
            self.writer.begin_word()
        self._move(self._at + len(login) + len(host))
        self.writer.put(host[4:] if host[:4].lower() == "www." else host)
        has_path = self._buffer[self._at : self._at + 1] in {*"/?#:@"}
        if has_path:
            self._skip = skip_address
        self.writer.num_left_out += has_path or "@" in login
        return True

    def _take_element(self, tag: str, end: int) -> bool:
        if " ".join(tag.split()).casefold() in self._dialect.tags:
            return self._write(end)
        element = read_element(tag)
        if element is None:
            # Tags of other voices and words in angle brackets are handled by `clean_text`.
            return "=" not in tag and self._write(end)
        if self._buffer[self._at - 1] == "`":
            self.writer.put(element.name)
            return self._move(end)
        return self._apply(element, end)

    def _apply(self, element: Element, end: int) -> bool:
        is_cell = self.writer.line_kind is LineKind.ROW
        match element.effect:
            case Effect.DROP if element.alt:
                self._speak(element.alt, has_address=element.has_address)
            case Effect.DROP:
                self.writer.num_left_out += element.has_address
                self.writer.drop()
            case Effect.LEAVE_OUT:
                self.writer.leave_out()
            case Effect.PAUSE:
                self.writer.pause()
            case Effect.BREAK if is_cell:
                self.writer.pause()
            case _:
                self._end_line()
                self.writer.line_kind = _LINE_EFFECTS.get(element.effect, LineKind.PLAIN)
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
        find = partial(find_brackets, is_image=is_image, has_sources=self._dialect.is_chat)
        found = find(self._buffer, start, self._stop)
        if isinstance(found, int):
            if self._may_wait:
                return False
            found = find_cut_brackets(find, self._buffer, start, self._stop)
        if found is None:
            return self._write(self._at + 1)
        if found.kind is BracketKind.NOTE:
            self.writer.leave_out()
        else:
            self._speak(found.text, has_address=found.has_address)
        if found.kind is BracketKind.CUT_LINK:
            self._skip = skip_target
        return self._move(found.end)
