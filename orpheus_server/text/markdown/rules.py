"""Markup and symbols as data: what each becomes when it is spoken.

A pattern consists of atoms separated by spaces, each one character or a bounded repetition, so that
after every character it is known whether the text may still become a match. The first atom is one
character, by which rules are looked up. Rules are tried in order.

Tags are in elements.py.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from orpheus_server.text.markdown.effects import Effect


@dataclass(frozen=True, slots=True)
class Rule:
    """One construct. `full` matches it; `open` matches text that more text may complete."""

    effect: Effect
    full: re.Pattern[str]
    open: re.Pattern[str]
    text: str | Callable[[re.Match[str]], str]

    def spoken(self, match: re.Match[str]) -> str:
        """Returns the text that the effect applies to."""
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


def _escaped_entity(match: re.Match[str]) -> str:
    text = html.unescape(html.unescape(match[0]))
    return text if text.isprintable() else " " * text.isspace()


def _superscript(match: re.Match[str]) -> str:
    return match[0][len("<sup>") : -len("</sup>")].translate(_SUPERSCRIPTS)


def _power(match: re.Match[str]) -> str:
    return "²" if "2" in match[0] else "³"


def _number(match: re.Match[str]) -> str:
    return match[0].rstrip(".) \t\ufe0f\u20e3") + "." + " " * match[0][-1].isspace()


_SUPERSCRIPTS = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")

# Emoji of every block, dingbats, shapes, box drawing and arrows. Enclosed letters, the sharps and
# flats of music, and U+25CB, which is a zero in Chinese, are kept.
PICTURES = (
    "\u2190-\u21ff\u2300-\u23ff\u2500-\u25ca\u25cc-\u266c\u2670-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d"
    "\u3297\u3299\u2139\U0001f000-\U0001faff"
)
ARROWS = "→⇒⟶⟹➔➜➝➞➡←⇐↔⇔⟷"
PICTURE = re.compile(f"[{PICTURES}]")
# Selectors, joiners, skin tones and the tag characters of flags.
JOINTS = "\u200d\u20e3\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_EMOJI = re.compile(
    rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|[{PICTURES}])[\u20e3\ufe0e\ufe0f\U0001f3fb-\U0001f3ff"
    rf"\U000e0020-\U000e007f]*(?:\u200d[{PICTURES}][\ufe0f\U0001f3fb-\U0001f3ff]*)*"
)
# A URL consists of these characters, except for punctuation at its end.
URL_CHARS = r"\w!#$%&'()*+,\-./:;=?@~"
URL_END_CHARS = r"!'()*,.:;?_~"
# Letters in a URL: text in other scripts may follow it without a space.
LATIN = "A-Za-z0-9À-ɏ"

# The login, host and port of a URL: all of it, because only its end tells them apart.
_AUTHORITY = rf"[{LATIN}._~%!$&'()*+,;=:@-]{{1,300}}+"
_URL = rf"/ / (?=[{LATIN}:]) {_AUTHORITY}"
_EYES, _MOUTHS = "(?<![^\\s.!?…(]){0} ['’^-]? {1} (?![\\w/*])", r"[)(\]DPpOo3/*]"

# "x <y and z" has no attribute, so it need not be held back for long.
_ATTRIBUTE = (
    r"< [A-Za-z] [\w:-]{0,40}+ \s \s{0,9}+ [A-Za-z_:@] [\w:.@-]{0,30}+ \s{0,3}+ ="
    r" \s{0,3}+"
)

_Text = str | Callable[[re.Match[str]], str]
_Row = tuple[Effect, str, _Text]

LINE_ROWS: tuple[_Row, ...] = (
    # Horizontal rules, underlines of headings, and the delimiter row of a table.
    (Effect.LINE, r"[|:+] [-*_=|:+~\x20\t\r]{0,200}+ (?:\n|\Z)", ""),
    (Effect.UNDERLINE, r"[-*_=] [-*_=|:+~\x20\t\r]{0,200}+ (?:\n|\Z)", ""),
    # Between two scenes of a story; a blank line does not follow the fence of a code block.
    (Effect.LINE, r"~ ~ ~{1,30}+ [\x20\t\r]{0,9}+ \n [\x20\t\r]{0,9}+ (?=\n|\Z)", ""),
    # Code is not spoken.
    (Effect.FENCE, r"` ` `{1,30}+ [^`\n]{0,200}+ (?:\n|\Z)", _whole),
    (Effect.FENCE, r"~ ~ ~{1,30}+ [^\n]{0,200}+ (?:\n|\Z)", _whole),
    (Effect.HEADING, r"[#] [#]{0,5}+ [\x20\t]", ""),
    # "> 90 % of users" is a comparison, "> 90 people came" a quotation.
    (
        Effect.COMPARISON,
        r"> [\x20\t]{0,3}+ [-−+~]{0,1}+ [$£€¥]{0,1}+ \d [\d.,]{0,20}+ \x20{0,2}+"
        r" [A-Za-zµμΩ%‰°]{0,12}+ [\x20]{0,2}+ [+*^=<>≤≥≠]{0,3}+",
        _whole,
    ),
    (Effect.QUOTE, r"> (?![=\d])", ""),
    # A list marker would be read as a dash or a star.
    (Effect.ITEM, r"[-*+·] [\x20\t]", ""),
    (Effect.ITEM, r"[•◦‣⁃▪▫●■□◆◇►▶➤]", ""),
    (Effect.ITEM, r"\[ [\x20xX✓✔] \] [\x20\t]", ""),
    # "1." is spoken as "one" with a pause; the splitter keeps it together with its item.
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

# Habits of chat: "XD" may be a name elsewhere, "<3" a comparison, and ":name:" anything.
CHAT_ROWS: tuple[_Row, ...] = (
    # "Adobe XD is a tool" contains no emoticon.
    (Effect.LEAVE_OUT, r"(?<![^\s.!?…(])[xX] D D{0,9}+ \x20{0,1}+ (?!\w)", ""),
    (Effect.LEAVE_OUT, r"(?<![^\s])< 3 (?![\w.,])", ""),
    (Effect.LEAVE_OUT, r"(?<![\w:]): [a-z+-] [a-z0-9_+-]{1,40}+ : (?!\w)", ""),
)

INLINE_ROWS: tuple[_Row, ...] = (
    # Words that the layout has broken.
    (
        Effect.HYPHEN,
        r"(?<=[^\W_])[-\u2010\xad] [\x20\t\r]{0,9}+ \n [\x20\t>]{0,20}+ [^\W_] [^\W\d_]{0,40}+",
        _whole,
    ),
    # A backslash escapes the next mark, or starts a formula or a command.
    (Effect.MATH, r"\\ [()\[\]]", _whole),
    (Effect.SIGN, r"(?<=[^\W_])\\ _ (?=[^\W_])", " "),
    (Effect.SIGN, r"(?<=[\w)][\x20\t])\\ \* [\x20\t] (?=[\w(])", "× "),
    (Effect.ESCAPE, r"\\ [!-/:-@\[-`{-~]", _after_mark),
    (Effect.DROP, r"\\ (?=\n)", ""),
    (Effect.DROP, r"\\ b e g i n \{ [a-z*]{1,20}+ \}", ""),
    (Effect.DROP, r"\\ e n d \{ [a-z*]{1,20}+ \}", ""),
    (Effect.COMMAND, r"(?<![:\\])(?<![A-Za-z]{2})\\ [A-Za-z]{1,24}+", _after_mark),
    (Effect.HEADING_END, r"(?<=[\x20\t])[#] [#]{0,6}+ [\x20\t\r]{0,9}+ (?=\n|\Z)", ""),
    # The star in "5 * 3" means "times" in every language; between words it is a bullet.
    (Effect.SIGN, r"(?<=[\d)%][\x20\t])\* [\x20\t] (?=[\w($€£])", "× "),
    (Effect.SIGN, r"(?<=\W\w[\x20\t])\* [\x20\t] (?=[\w(])", "× "),
    (Effect.SIGN, r"(?<=\w[\x20\t])\* [\x20\t] (?=[\d(])", "× "),
    (Effect.SIGN, r"(?<=\S[\x20\t])\* (?=[\x20\t])", ","),
    (Effect.SIGN, r"(?<=\d)\* (?=\d)", "×"),
    # "2*x" and "a*b*c": emphasis neither starts nor ends after a single letter.
    (Effect.SIGN, r"(?<=[\s(=+/-][A-Za-z\d])\* (?=[A-Za-z\d(])", "×"),
    (Effect.SIGN, r"(?<=[A-Za-z\d]\*[A-Za-z\d])\* (?=[A-Za-z\d(])", "×"),
    (Effect.STAR, r"(?<=[\w)])\* (?=[^\W_]|\()", "×"),
    (Effect.SIGN, r"(?<=\d)\* \*{1,30}+ (?=\d)", " "),
    (Effect.EMPHASIS, r"\* \*{0,30}+", ""),
    # snake_case is two words; at the edge of a word an underscore is emphasis.
    (Effect.SIGN, r"(?<=[^\W_])_ _{0,30}+ (?=[^\W_])", " "),
    (Effect.DROP, r"_ _{0,30}+", ""),
    (Effect.DROP, r"~ ~{1,30}+", ""),
    (Effect.TEXT, r"(?<=[^\W_])` (?=[^\W_])", "'"),
    # A code block that starts within a line, where models forget the line break.
    (Effect.FENCE, r"` ` `{1,30}+ [\w+#.-]{0,30}+ [\x20\t\r]{0,9}+ \n", _whole),
    (Effect.DROP, r"` `{0,30}+", ""),
    (Effect.TEXT, r"- - -{1,60}+", "—"),
    # Text that is not meant to be read.
    (Effect.BLOCK, r"(?<!`)< ! - -", "-->"),
    (Effect.ELEMENT, r"< [!?] [A-Za-z] [^<>]{0,300}+ >", _inside),
    # Thoughts of a model. Quoted as code, the tag is only mentioned.
    (Effect.THOUGHT, r"(?<!`)< [tT] [hH] [iI] [nN] [kK] >", "</think>"),
    (Effect.THOUGHT, r"(?<!`)< [tT] [hH] [iI] [nN] [kK] [iI] [nN] [gG] >", "</thinking>"),
    (Effect.CLOSED_BLOCK, r"(?<!`)< [sS] [cC] [rR] [iI] [pP] [tT] [^<>]{0,300}+ >", "</script>"),
    (Effect.CLOSED_BLOCK, r"(?<!`)< [sS] [tT] [yY] [lL] [eE] [^<>]{0,300}+ >", "</style>"),
    (
        Effect.CLOSED_BLOCK,
        r"< [pP] [rR] [eE] [^<>]{0,200}+ > \s{0,9}+ < [cC] [oO] [dD] [eE] [^<>]{0,100}+ >",
        "</pre>",
    ),
    # A control token is kept whole, so that clean_text recognises it.
    (Effect.TEXT, r"< \| [^<>|\n]{0,60}+ \| >", _whole),
    (Effect.SPEAK, r"< [hH] [tT] [tT] [pP] [sS]? : [^<>\s]{1,250}+ >", _inside),
    (Effect.SPEAK, r"< [A-Za-z0-9] [\w.+%:-]{0,60}+ @ [\w.-]{1,100}+ >", _inside),
    # Exponents. Other superscripts join the word: "20<sup>th</sup>".
    (Effect.TEXT, r"(?<=[\w)])< s u p > [23] < / s u p >", _superscript),
    (Effect.TEXT, r"(?<=[\w)])< s u p > [-+−] \d{1,3}+ < / s u p >", _superscript),
    (Effect.TEXT, r"(?<=[\d)])< s u p > \d{1,3}+ < / s u p >", _superscript),
    (Effect.ELEMENT, r"< /? [A-Za-z] [\w:-]{0,40}+ \s{0,9}+ /? >", _inside),
    (Effect.ELEMENT, rf"{_ATTRIBUTE} [^<>]{{0,300}}+ >", _inside),
    (Effect.LONG_ELEMENT, rf"{_ATTRIBUTE} [\"'] [^<>]{{0,299}}+ [^<>]", ""),
    # Only the host of a URL is spoken; its dots are left to the language.
    (Effect.ADDRESS, rf"(?<![{LATIN}_@])[hH] [tT] [tT] [pP] [sS]? : {_URL}", _whole),
    (Effect.ADDRESS, rf"(?<![{LATIN}_@])f t p : {_URL}", _whole),
    # Of "redis://:secret@host:6379" the name of the scheme stays.
    (Effect.ADDRESS, rf"(?<=[A-Za-z0-9]{{2}})(?<!file): {_URL}", _whole),
    (
        Effect.ADDRESS,
        rf"(?<![{LATIN}_@./])[wW] [wW] [wW] \. [{LATIN}] [{LATIN}._-]{{0,200}}+",
        _whole,
    ),
    (Effect.DROP, r"(?<!\w)m a i l t o :", ""),
    (Effect.TEXT, r"& [aA] [mM] [pP] ; [A-Za-z\#] [A-Za-z0-9]{1,30}+ ;", _escaped_entity),
    (Effect.TEXT, r"& [A-Za-z\#] [A-Za-z0-9]{1,30}+ ;", _entity),
    # Emoticons.
    (Effect.LEAVE_OUT, _EYES.format("[:;]", _MOUTHS), ""),
    (Effect.LEAVE_OUT, _EYES.format("=", r"[)(D]"), ""),
    (Effect.LEAVE_OUT, r"(?<![^\s.!?…(])\^ [_.-]{0,3}+ \^ (?!\w)", ""),
    # An arrow means "to", "becomes" or "then", depending on the sentence: a pause fits all of them.
    (Effect.PAUSE, rf"[{ARROWS}] \ufe0f?", ""),
    (Effect.PAUSE, r"(?<=\s)[-=] > (?=\s)", ""),
    (Effect.PAUSE, r"(?<=\s)[|•·] (?=\s)", ""),
    # Emoji of every kind, keycaps and stray selectors.
    (Effect.LEAVE_OUT, rf"[{PICTURES}] [{PICTURES}{JOINTS}]{{0,100}}+", _whole),
    (Effect.LEAVE_OUT, r"(?<!\w)[0-9#*] \ufe0f? \u20e3", "#"),
    (Effect.TEXT, r"[‼] \ufe0f?", "!"),
    (Effect.TEXT, r"[⁉] \ufe0f?", "?"),
    (Effect.DROP, r"[\ufe0e\ufe0f\u20e3]", ""),
    # Source references that chat models put after sentences.
    (Effect.LEAVE_OUT, r"【 [^【】†\n]{0,60}+ † [^【】\n]{0,60}+ 】", "#"),
    # "$5 and $6" is money; "$x^2$" is a formula, which contains no end of a sentence.
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

# Signs that mean the same in every language; other commands in a formula are spoken by name.
SIGNS = {"times": "×", "cdot": "×", "div": "÷", "pm": "±", "approx": "≈", "neq": "≠", "ne": "≠"}
SIGNS |= {"leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "to": "→", "infty": "∞", "degree": "°"}
SIGNS |= {"sqrt": "√", "circ": "°", "rightarrow": "→", "Rightarrow": "⇒", "ldots": "..."}
SILENT_COMMANDS = frozenset(
    ("frac", "dfrac", "tfrac", "text", "textbf", "textit", "mathrm", "mathbf", "mathbb", "boxed")
) | frozenset(("left", "right", "quad", "qquad", "displaystyle", "limits", "big"))


def count_pictures(run: str) -> int:
    """Returns the number of emoji in a run; a family or a flag counts as one."""
    return len(_EMOJI.findall(run)) or 1


@cache
def rules_for(char: str, *, at_line_start: bool, is_chat: bool) -> tuple[Rule, ...]:
    """Returns the rules that may start with the character, for the start of a line or anywhere."""
    rows = LINE_ROWS if at_line_start else (*CHAT_ROWS, *INLINE_ROWS) if is_chat else INLINE_ROWS
    return tuple(_RULES[row] for row in rows if _begins_with(row[1], char))


def _begins_with(pattern: str, char: str) -> bool:
    return re.fullmatch(_LOOK_BEHIND.sub("", pattern.split(" ")[0]), char) is not None


def _rule(row: _Row) -> Rule:
    effect, pattern, text = row
    atoms = pattern.split(" ")
    # A repetition or lookahead is uncertain where the text received so far ends.
    rest = r"\Z" if re.search(r"[+?}]$|^\(\?[=!]", atoms[-1]) else "(?!)"
    for atom in reversed(atoms[1:]):
        rest = rf"(?:\Z|{atom}{rest})"
    return Rule(effect, re.compile("".join(atoms)), re.compile(atoms[0] + rest), text)


_LOOK_BEHIND = re.compile(r"^\(\?<[=!](?:\[(?:\\.|[^\]\\])*\]|[^()\[\]])*\)")
_RULES = {row: _rule(row) for row in (*LINE_ROWS, *CHAT_ROWS, *INLINE_ROWS)}
