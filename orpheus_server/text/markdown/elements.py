"""HTML and SSML tags: what each becomes when it is spoken."""

import html
import re
from dataclasses import dataclass

from orpheus_server.checkpoints.published import ALL_EMOTION_TAGS
from orpheus_server.text.markdown.effects import Effect

ELEMENTS: dict[str, Effect] = {
    **dict.fromkeys(("br", "p", "div", "ul", "ol", "hr", "tr", "table", "pre"), Effect.BREAK),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), Effect.BREAK),
    **dict.fromkeys(("blockquote", "section", "details", "summary"), Effect.BREAK),
    **dict.fromkeys(("dl", "dt", "dd", "figure", "figcaption", "aside", "nav"), Effect.BREAK),
    **dict.fromkeys(("td", "th", "break"), Effect.PAUSE),
    **dict.fromkeys(("a", "b", "i", "u", "s", "q", "em", "strong", "span", "sub"), Effect.DROP),
    **dict.fromkeys(("sup", "code", "kbd", "mark", "small", "del", "ins", "img"), Effect.DROP),
    **dict.fromkeys(("font", "center", "thead", "tbody", "cite", "abbr", "var"), Effect.DROP),
    **dict.fromkeys(("samp", "dfn", "big", "tt", "strike", "wbr", "html", "body"), Effect.DROP),
    "speak": Effect.DROP,
    # Instructions of SSML that no voice here follows.
    **dict.fromkeys(("voice", "prosody", "emphasis", "say-as", "phoneme"), Effect.LEAVE_OUT),
    "li": Effect.ITEM,
}

# "a<b and b>c" has no tag, nor has "x <em and y> z".
_TAG = re.compile(r"/?([A-Za-z][\w:-]*)(\s+[^\s=]+\s*=.*|\s*/?\s*)", re.DOTALL)
_QUOTED = re.compile(r"=\s*[\"']")
_ADDRESS = re.compile(r"\s(?:href|src)\s*=\s*[\"']?[^\s\"']", re.IGNORECASE)
_ALT = re.compile(r"\salt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_EMOTION_TAGS = frozenset(tag.casefold() for tag in ALL_EMOTION_TAGS)


@dataclass(frozen=True, slots=True)
class Element:
    """A tag. `alt` is spoken in its place; `has_address` is true if it links to something."""

    name: str
    effect: Effect
    alt: str = ""
    has_address: bool = False


def read_element(tag: str) -> Element | None:
    """Returns the element of a tag, given without its brackets; None if it is not markup.

    A bare unknown name, as in "press <enter>", is not markup. An unknown tag that closes, is empty
    or has quoted attributes is left out. Emotion tags are left to `clean_text`.
    """
    if tag[0] in "!?":
        return Element("", Effect.LEAVE_OUT)
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    name, rest = match[1].lower(), match[2]
    effect = ELEMENTS.get(name)
    if effect is None:
        is_tag = tag[0] == "/" or rest.strip() == "/" or _QUOTED.search(rest) is not None
        is_emotion = name in _EMOTION_TAGS and "=" not in rest
        return Element(name, Effect.LEAVE_OUT) if is_tag and not is_emotion else None
    if tag[0] == "/":
        is_silent = effect in (Effect.ITEM, Effect.LEAVE_OUT)
        return Element(name, Effect.DROP if is_silent else effect)
    alt = _ALT.search(rest) if name == "img" else None
    return Element(
        name,
        effect,
        alt=html.unescape(alt[1] or alt[2] or "") if alt else "",
        has_address=_ADDRESS.search(rest) is not None,
    )
