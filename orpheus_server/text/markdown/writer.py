"""Writes words, gaps and pauses as text with the right white space and stops (commas, full stops).

White space is held back until the next word, so that text that is left out leaves no stray spaces.
"""

from enum import Enum

from orpheus_server.text.duration import is_cjk
from orpheus_server.text.marks import STOPS
from orpheus_server.text.punctuation import add_stop

# A shorter line is an item of an enumeration ("milk, bread") and ends in a comma; a longer one is a
# sentence and ends in a full stop.
MAX_ENUMERATED_CHARS = 25
_MAX_GAP_CHARS = 32
_NUM_DOTS = 3
_NO_SPACE_BEFORE = ".,;:!?…)]}"
_OPENERS = "([{“‘«„¿¡"
_CLOSERS = "\"')]”’»"
_PAUSES = ",;:—–،؛，、；："


class LineKind(Enum):
    """The kind of a line, which decides the stop between it and its neighbours."""

    PLAIN = 0
    ITEM = 1
    NUMBER = 2
    ROW = 3
    HEADING = 4


class SpokenWriter:
    """Accepts words and white space; `take` returns the text that is certain so far."""

    def __init__(self, *, reduces_marks: bool) -> None:
        """With `reduces_marks`, "!!!!" is written as one mark and a run of dots as three."""
        self.has_begun = False
        self._reduces_marks = reduces_marks
        self.line_kind = LineKind.PLAIN
        self.num_left_out = 0
        self._above = LineKind.PLAIN
        self._num_line_chars = 0
        self._is_sentence_above = self._has_line_pause = False
        self._out: list[str] = []
        # The last characters of the paragraph.
        self._tail = ""
        self._gap = ""
        self._has_pause = False
        self._has_drop = self._has_drop_in_gap = self._has_left_out = False

    def take(self) -> str:
        """Returns the text that has become final since the last call."""
        text = "".join(self._out)
        self._out.clear()
        return text

    def end(self) -> None:
        """Ends the text. Trailing white space is kept unless something was removed from it."""
        self._out.append(self._paragraph_stop())
        if not self._has_drop and self._tail:
            self._out.append(self._gap)

    def put(self, text: str) -> None:
        """Writes text without line breaks; white space around it belongs to the gaps."""
        word = text.strip()
        if not word:
            self.space(text)
            return
        self.space(text[: len(text) - len(text.lstrip())])
        if not self._is_repeated(word):
            self.has_begun = True
            self._out += [self._gap_before(word[0]), word]
            self._tail = (self._tail + word)[-8:]
            self._num_line_chars += len(word)
            self._has_line_pause |= word in _PAUSES
            self._begin_gap()
        self.space(text[len(text.rstrip()) :])

    def space(self, text: str) -> None:
        """Adds white space within a line."""
        if not (self._has_drop_in_gap and self._gap):
            self._gap = (self._gap + text)[:_MAX_GAP_CHARS]

    def begin_word(self) -> None:
        """Ensures white space before the next word."""
        self._gap = self._gap or " "

    def end_line(self) -> None:
        """Ends the line; a second call in a row ends the paragraph."""
        if "\n" not in self._gap:
            is_long = self._num_line_chars >= MAX_ENUMERATED_CHARS
            self._is_sentence_above = is_long or self._has_line_pause
            # A pause at the end of a line ends it like a table row, with a full stop.
            self._above = LineKind.ROW if self._has_pause else self.line_kind
        self.line_kind, self._num_line_chars = LineKind.PLAIN, 0
        self._has_pause = self._has_line_pause = False
        if "\n" in self._gap:
            self.end_paragraph()
        else:
            self._gap = (self._gap[: _MAX_GAP_CHARS - 1] if not self._has_drop else "") + "\n"

    def end_paragraph(self) -> None:
        """Ends the paragraph with a blank line, unless it is already ended."""
        if self._tail:
            stop = self._paragraph_stop()
            lead = "" if stop or self._has_drop else self._gap.partition("\n")[0]
            self._out += [stop, lead, "\n\n"]
        self._tail = self._gap = ""
        self._above = LineKind.PLAIN
        self._begin_gap()

    def underline(self) -> None:
        """Marks the line above as a heading."""
        if self._gap and self._above is not LineKind.ROW:
            self._above = LineKind.HEADING

    def pause(self) -> None:
        """Adds a comma before the next word of this line, unless a comma or stop is there."""
        self.drop()
        self._has_pause = True

    def drop(self) -> None:
        """Notes that a mark was removed here."""
        self._has_drop = True
        self._has_drop_in_gap |= bool(self._gap)

    def leave_out(self, num: int = 1) -> None:
        """Notes that something that cannot be spoken was left out here."""
        self.drop()
        self._has_left_out = True
        self.num_left_out += num

    def _begin_gap(self) -> None:
        self._gap = ""
        self._has_pause = self._has_drop = self._has_drop_in_gap = self._has_left_out = False

    def _is_repeated(self, word: str) -> bool:
        """Returns whether the word repeats a mark, as in "!!!!", or is a surplus dot."""
        if not self._reduces_marks or self._gap or word not in {*"!?！？."}:
            return False
        if word == ".":
            return self._tail.endswith("." * _NUM_DOTS)
        return word in self._tail[len(self._tail.rstrip("!?！？")) :]

    def _gap_before(self, char: str) -> str:
        last = self._tail[-1:]
        if "\n" in self._gap:
            lead, _, indent = self._gap.partition("\n")
            if self.line_kind is not LineKind.PLAIN or self._has_drop_in_gap:
                indent = ""
            return (self._line_stop() or lead) + "\n" + indent if self._tail else indent
        if self._has_pause and last:
            return self._stop(",") + " " * (not is_cjk(last))
        if not last and (self._has_drop or self.line_kind is not LineKind.PLAIN):
            return ""
        if self._has_drop and last in _OPENERS:
            return ""
        if self._has_drop_in_gap and char in _NO_SPACE_BEFORE:
            return ""
        glues = self._has_left_out and not self._gap and last and char.isalnum()
        return " " if glues and not (is_cjk(last) or is_cjk(char)) else self._gap

    def _line_stop(self) -> str:
        """Returns the stop between two lines, "" between two plain ones."""
        if self._above in (LineKind.HEADING, LineKind.ROW):
            return self._stop(".")
        if self.line_kind is LineKind.PLAIN:
            return ""
        is_step = self.line_kind is LineKind.NUMBER and self._above is not LineKind.PLAIN
        return self._stop("." if is_step or self._is_sentence_above else ",")

    def _paragraph_stop(self) -> str:
        """Returns the stop that ends the paragraph's last line, "" for plain text."""
        line_kind = self._above if "\n" in self._gap else self.line_kind
        return self._stop(".") if line_kind is not LineKind.PLAIN else ""

    def _stop(self, mark: str) -> str:
        core = self._tail.rstrip(_CLOSERS)
        if not core or core[-1] in STOPS or core[-1] in _PAUSES:
            return ""
        return add_stop(self._tail[-1], mark)[1:] or mark
