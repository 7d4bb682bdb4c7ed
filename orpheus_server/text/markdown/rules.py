"""Markup and symbols that a chat model writes, as data: what each becomes when it is spoken.

A pattern is written as atoms with spaces between them, each one character or a bounded repetition,
so that "this may still become one" is known after every character. The first atom is one character
and is what the rules are found by. Rules are tried in their order.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache


class Effect(Enum):
    """What is done where a rule matches."""

    SPEAK = "its text is spoken, markup in it resolved"
    TEXT = "its text is written as it is"
    ESCAPE = "so is this one, but in a formula it is white space"
    DROP = "it stands for nothing"
    LEAVE_OUT = "it cannot be spoken, and counts"
    PAUSE = "a comma, if words follow in the line"
    BREAK = "the line ends"
    LINE = "the whole line is dropped"
    UNDERLINE = "the whole line is dropped, the one above is a heading"
    BLOCK = "left out with all that follows up to its text"
    FENCE = "left out with all lines up to one like it"
    ADDRESS = "its text is spoken, the rest of the address dropped"
    ELEMENT = "a tag of HTML, or of the voice"
    QUOTE = "another prefix may follow"
    ITEM = "the line is one of a list"
    NUMBER = "the line is one of a numbered list, its text is spoken"
    ROW = "the line is one of a table"
    HEADING = "the line is a heading"
    HEADING_END = "it is dropped at the end of a heading"
    FORMULA = "its text is spoken as a formula"
    MATH = "a formula begins or ends"
    COMMAND = "a command of LaTeX"


@dataclass(frozen=True, slots=True)
class Rule:
    """One construct. `full` matches it; `open` what may become it when more text comes."""

    effect: Effect
    full: re.Pattern[str]
    open: re.Pattern[str]
    text: str | Callable[[re.Match[str]], str]

    def spoken(self, match: re.Match[str]) -> str:
        """What the effect takes as its text."""
        return self.text if isinstance(self.text, str) else self.text(match)


def _inside(match: re.Match[str]) -> str:
    return match[0][1:-1]


def _after_mark(match: re.Match[str]) -> str:
    return match[0][1:]


def _whole(match: re.Match[str]) -> str:
    return match[0]


def _entity(match: re.Match[str]) -> str:
    text = html.unescape(match[0])
    return text if text.isprintable() else " " * text.isspace()


def _power(match: re.Match[str]) -> str:
    return "²" if "2" in match[0] else "³"


def _number(match: re.Match[str]) -> str:
    return match[0].rstrip(".) \t\ufe0f\u20e3") + "." + " " * match[0][-1].isspace()


# Pictures of every block, dingbats, shapes, box drawing, arrows that point at nothing. Letters in
# circles stay, the sharps and flats of music, and U+25CB, which Chinese writes for a zero.
PICTURES = (
    "\u2190-\u21ff\u2300-\u23ff\u2500-\u25ca\u25cc-\u266c\u2670-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d"
    "\u3297\u3299\u2139\U0001f000-\U0001faff"
)
# Selectors, joiners, skin tones and the tag characters of flags.
JOINTS = "\u200d\u20e3\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_EMOJI = re.compile(
    rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|[{PICTURES}])[\u20e3\ufe0e\ufe0f\U0001f3fb-\U0001f3ff"
    rf"\U000e0020-\U000e007f]*(?:\u200d[{PICTURES}][\ufe0f\U0001f3fb-\U0001f3ff]*)*"
)
# An address ends where none of these follows, and before punctuation at its end.
URL_CHARS = r"\w!#$%&'()*+,\-./:;=?@~"
URL_END_CHARS = r"!'()*,.:;?_~"
# What an address may contain of letters: other scripts write on behind it without a space.
LATIN = "A-Za-z0-9À-ɏ"

_URL = rf"/ / [{LATIN}] [{LATIN}._-]{{0,200}}+"
_EYES, _MOUTHS = "(?<![^\\s.!?…(]){0} ['’^-]? {1} (?![\\w/*])", r"[)(\]DPpOo3/*]"

_Text = str | Callable[[re.Match[str]], str]
_Row = tuple[Effect, str, _Text]

LINE_ROWS: tuple[_Row, ...] = (
    # Rules, underlines of headings, and what stands between the head and the rows of a table.
    (Effect.LINE, r"[|:+] [-*_=|:+~\x20\t\r]{0,200}+ (?:\n|\Z)", ""),
    (Effect.UNDERLINE, r"[-*_=] [-*_=|:+~\x20\t\r]{0,200}+ (?:\n|\Z)", ""),
    # Code cannot be listened to.
    (Effect.FENCE, r"` ` `{1,30}+ [^`\n]{0,200}+ (?:\n|\Z)", _whole),
    (Effect.FENCE, r"~ ~ ~{1,30}+ [^\n]{0,200}+ (?:\n|\Z)", _whole),
    # The thoughts of a model that reasons; inside of a line it writes about the tag.
    (Effect.BLOCK, r"< t h i n k >", "</think>"),
    (Effect.BLOCK, r"< t h i n k i n g >", "</thinking>"),
    (Effect.HEADING, r"[#] [#]{0,5}+ [\x20\t]", ""),
    (Effect.QUOTE, r"> (?!=)", ""),
    # The mark of an item would be read as a dash or a star.
    (Effect.ITEM, r"[-*+·] [\x20\t]", ""),
    (Effect.ITEM, r"[•◦‣⁃▪▫●■□◆◇►▶➤]", ""),
    (Effect.ITEM, r"\[ [\x20xX✓✔] \] [\x20\t]", ""),
    # "1." is spoken "one" with a pause; the splitter never parts it from its item.
    (Effect.NUMBER, r"\d \d{0,2}+ [.)] [\x20\t]", _number),
    (Effect.ITEM, r"[a-z] \) [\x20\t]", _whole),
    (Effect.NUMBER, r"[0-9] \ufe0f? \u20e3", _number),
    (Effect.ROW, r"\|", ""),
    (Effect.QUOTE, r"\[ \^ [^\[\]\n]{1,60}+ \] :", ""),
    (
        Effect.LINE,
        r"\[ [^\[\]\n]{1,99}+ \] : [\x20\t]{0,9}+ <? h t t p [^\n]{0,250}+ (?:\n|\Z)",
        "",
    ),
)

INLINE_ROWS: tuple[_Row, ...] = (
    # A backslash takes the meaning from the mark behind it, or begins a formula or a command.
    (Effect.MATH, r"\\ [()\[\]]", _whole),
    (Effect.TEXT, r"(?<=[^\W_])\\ _ (?=[^\W_])", " "),
    (Effect.TEXT, r"(?<=[\w)][\x20\t])\\ \* [\x20\t] (?=[\w(])", "× "),
    (Effect.ESCAPE, r"\\ [!-/:-@\[-`{-~]", _after_mark),
    (Effect.DROP, r"\\ (?=\n)", ""),
    (Effect.DROP, r"\\ b e g i n \{ [a-z*]{1,20}+ \}", ""),
    (Effect.DROP, r"\\ e n d \{ [a-z*]{1,20}+ \}", ""),
    (Effect.COMMAND, r"(?<![:\\])\\ [A-Za-z]{1,24}+", _after_mark),
    (Effect.HEADING_END, r"(?<=[\x20\t])[#] [#]{0,6}+ [\x20\t\r]{0,9}+ (?=\n|\Z)", ""),
    # The star of "5 * 3" is "times" in every language; between words it is a bullet.
    (Effect.TEXT, r"(?<=[\d)][\x20\t])\* [\x20\t] (?=[\w($€£])", "× "),
    (Effect.TEXT, r"(?<=\W\w[\x20\t])\* [\x20\t] (?=[\w(])", "× "),
    (Effect.TEXT, r"(?<=\w[\x20\t])\* [\x20\t] (?=[\d(])", "× "),
    (Effect.PAUSE, r"(?<=\w[\x20\t])\* (?=[\x20\t])", ""),
    (Effect.TEXT, r"(?<=\d)\* (?=\d)", "×"),
    # "2*x" and "a*b*c"; no emphasis begins or ends behind one letter of a word.
    (Effect.TEXT, r"(?<=[\s(=+/-][A-Za-z\d])\* (?=[A-Za-z\d(])", "×"),
    (Effect.TEXT, r"(?<=[A-Za-z\d]\*[A-Za-z\d])\* (?=[A-Za-z\d(])", "×"),
    (Effect.TEXT, r"(?<=\d)\* \*{1,30}+ (?=\d)", " "),
    (Effect.DROP, r"\* \*{0,30}+", ""),
    # snake_case is two words; at the edge of a word it is emphasis.
    (Effect.TEXT, r"(?<=[^\W_])_ _{0,30}+ (?=[^\W_])", " "),
    (Effect.DROP, r"_ _{0,30}+", ""),
    (Effect.DROP, r"~ ~{1,30}+", ""),
    (Effect.TEXT, r"(?<=[^\W_])` (?=[^\W_])", "'"),
    # A block that begins inside of a line, where models forget the break.
    (Effect.FENCE, r"` ` `{1,30}+ [\w+#.-]{0,30}+ [\x20\t\r]{0,9}+ \n", _whole),
    (Effect.DROP, r"` `{0,30}+", ""),
    (Effect.TEXT, r"- - -{1,60}+", "—"),
    # What is not meant to be read.
    (Effect.BLOCK, r"(?<!`)< ! - -", "-->"),
    # A control token stays whole, for clean_text to know it.
    (Effect.TEXT, r"< \| [^<>|\n]{0,60}+ \| >", _whole),
    (Effect.SPEAK, r"< h t t p s? : [^<>\s]{1,250}+ >", _inside),
    (Effect.SPEAK, r"< [A-Za-z0-9] [\w.+%:-]{0,60}+ @ [\w.-]{1,100}+ >", _inside),
    (Effect.ELEMENT, r"< /? [A-Za-z] [^<>\n]{0,200}+ >", _inside),
    # Only the name of a site can be listened to; its dots are the language's business.
    (Effect.ADDRESS, rf"(?<![{LATIN}_@])[hH] t t p s? : {_URL}", _whole),
    (Effect.ADDRESS, rf"(?<![{LATIN}_@])f t p : {_URL}", _whole),
    (
        Effect.ADDRESS,
        rf"(?<![{LATIN}_@./])[wW] [wW] [wW] \. [{LATIN}] [{LATIN}._-]{{0,200}}+",
        _whole,
    ),
    (Effect.DROP, r"(?<!\w)m a i l t o :", ""),
    (Effect.TEXT, r"& [A-Za-z\#] [A-Za-z0-9]{1,30}+ ;", _entity),
    # Faces made of marks, and the names of pictures.
    (Effect.LEAVE_OUT, _EYES.format("[:;]", _MOUTHS), ""),
    (Effect.LEAVE_OUT, _EYES.format("=", r"[)(D]"), ""),
    # "Adobe XD is a tool" has none.
    (Effect.LEAVE_OUT, r"(?<![^\s.!?…(])[xX] D D{0,9}+ \x20{0,1}+ (?!\w)", ""),
    (Effect.LEAVE_OUT, r"(?<![^\s.!?…(])\^ [_.-]{0,3}+ \^ (?!\w)", ""),
    (Effect.LEAVE_OUT, r"(?<![^\s])< 3 (?![\w.,])", ""),
    (Effect.LEAVE_OUT, r"(?<![\w:]): [a-z+-] [a-z0-9_+-]{1,40}+ : (?!\w)", ""),
    # An arrow is "to", "becomes" or "then", by its sentence and language: a pause fits them all.
    (Effect.PAUSE, r"[→⇒⟶⟹➔➜➝➞➡←⇐↔⇔⟷] \ufe0f?", ""),
    (Effect.PAUSE, r"(?<=\s)[-=] > (?=\s)", ""),
    (Effect.PAUSE, r"(?<=\s)[|•·] (?=\s)", ""),
    # Pictures of every kind, keycaps, selectors that are left.
    (Effect.LEAVE_OUT, rf"[{PICTURES}] [{PICTURES}{JOINTS}]{{0,100}}+", _whole),
    (Effect.LEAVE_OUT, r"(?<!\w)[0-9#*] \ufe0f? \u20e3", "#"),
    (Effect.TEXT, r"[‼] \ufe0f?", "!"),
    (Effect.TEXT, r"[⁉] \ufe0f?", "?"),
    (Effect.DROP, r"[\ufe0e\ufe0f\u20e3]", ""),
    # The sources that chat models put behind their sentences.
    (Effect.LEAVE_OUT, r"【 [^【】†\n]{0,60}+ † [^【】\n]{0,60}+ 】", "#"),
    # "$5 and $6" is money; "$x^2$" is a formula, in which no sentence ends.
    (Effect.MATH, r"\$ \$", _whole),
    (Effect.TEXT, r"\$ \d [\d.,]{0,20}+ (?=[kKmMbB\n;:!?)\]\"'*|_-])", _whole),
    (Effect.TEXT, r"\$ \d [\d.,]{0,20}+ \x20 (?=[^-+*/=^_\\<>$\s])", _whole),
    (
        Effect.FORMULA,
        r"(?<!\d)\$ (?=[^\s$]) (?:[^$\n.!?]|[.!?](?!\s)){1,128}+ (?<=\S)\$ (?!\d)",
        _inside,
    ),
    (Effect.TEXT, r"(?<=[\w)])\^ [23] (?!\w)", _power),
    (Effect.TEXT, r"(?<=[\w)])\^ \{ [23] \}", _power),
)

# Of HTML. Tags that are not here pass: clean_text knows those of the voices.
ELEMENTS: dict[str, Effect] = {
    **dict.fromkeys(("br", "p", "div", "ul", "ol", "hr", "tr", "table", "pre"), Effect.BREAK),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), Effect.BREAK),
    **dict.fromkeys(("blockquote", "section", "details", "summary"), Effect.BREAK),
    **dict.fromkeys(("td", "th"), Effect.PAUSE),
    **dict.fromkeys(("a", "b", "i", "u", "s", "q", "em", "strong", "span", "sub"), Effect.DROP),
    **dict.fromkeys(("sup", "code", "kbd", "mark", "small", "del", "ins", "img"), Effect.DROP),
    **dict.fromkeys(("font", "center", "thead", "tbody", "cite"), Effect.DROP),
    "li": Effect.ITEM,
}

# Signs that mean the same in every language; what else a formula names is spoken by its name.
SIGNS = {"times": "×", "cdot": "×", "div": "÷", "pm": "±", "approx": "≈", "neq": "≠", "ne": "≠"}
SIGNS |= {"leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "to": "→", "infty": "∞", "degree": "°"}
SIGNS |= {"sqrt": "√", "circ": "°", "rightarrow": "→", "Rightarrow": "⇒", "ldots": "..."}
SILENT_COMMANDS = frozenset(
    ("frac", "dfrac", "tfrac", "text", "textbf", "textit", "mathrm", "mathbf", "mathbb", "boxed")
) | frozenset(("left", "right", "quad", "qquad", "displaystyle", "limits", "big"))


def count_pictures(run: str) -> int:
    """How many pictures a run of them is: a family or a flag is one."""
    return len(_EMOJI.findall(run)) or 1


@cache
def rules_for(char: str, *, at_line_start: bool) -> tuple[Rule, ...]:
    """The rules that may begin with the character, at the start of a line or anywhere."""
    rows = LINE_ROWS if at_line_start else INLINE_ROWS
    return tuple(_RULES[row] for row in rows if _begins_with(row[1], char))


def _begins_with(pattern: str, char: str) -> bool:
    return re.fullmatch(_LOOK_BEHIND.sub("", pattern.split(" ")[0]), char) is not None


def _rule(row: _Row) -> Rule:
    effect, pattern, text = row
    atoms = pattern.split(" ")
    # A repetition or a look at what follows is not certain where the text ends for now.
    rest = r"\Z" if re.search(r"[+?}]$|^\(\?[=!]", atoms[-1]) else "(?!)"
    for atom in reversed(atoms[1:]):
        rest = rf"(?:\Z|{atom}{rest})"
    return Rule(effect, re.compile("".join(atoms)), re.compile(atoms[0] + rest), text)


_LOOK_BEHIND = re.compile(r"^\(\?<[=!](?:\[(?:\\.|[^\]\\])*\]|[^()\[\]])*\)")
_RULES = {row: _rule(row) for row in (*LINE_ROWS, *INLINE_ROWS)}
