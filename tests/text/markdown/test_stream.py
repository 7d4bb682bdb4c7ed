"""Markup as speech: each construct, and that deltas make no difference."""

import re
import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.english.normalising import normalise
from orpheus_server.text.front_end import LetterFrontEnd, PreparedText
from orpheus_server.text.markdown.construct_reader import MAX_OPEN_CHARS, Dialect
from orpheus_server.text.markdown.rules import CHAT_ROWS, INLINE_ROWS, LINE_ROWS
from orpheus_server.text.markdown.stream import MarkdownToSpeech, make_speakable

TAGS = frozenset({"laugh", "sigh", "작은 웃음", "long_sigh"})
CHAT = Dialect(TAGS, is_chat=True)
TEXT = Dialect(TAGS)
LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)

PROSE = [
    "Dr. Smith paid 3.50 for 2 apples, e.g. red ones. She smiled.",
    "It is 5 < 6, 7 > 3 and AT&T & co.; really?! Yes... (no)",
    "In C# and C++ it costs $5 or €3.20, i.e. 20 % at ~5 °C.",
    "It grew from $5 to $10. Call 555-1234 at 10:30 a.m. - or don't.",
    'He said: "Stop it, please!" — and left; it\'s 1/2 past #1.',
    "Write to anna@example.com or see node.js [sic] and a[i] (see below).",
    "Two  spaces and\ta tab stay.",
    # These were once treated as markup, and the words in them were lost.
    "If a<b and b>c, or a <b and i> d, then x<y.",
    "The list [1, 2, 3] has a[0] and a[1], which lie in [0, 10] or [1-3].",
    "So arr[i][j] calls handlers[name](event) and rows[i](x).",
    "Adobe XD is a tool, and 5$-6$ is a price.",
    "Then he said <think> and walked away, x <em and y> z, and <code and so> on.",
    "Press <enter>, use List<String> or Map<K, V>, and pay >5 $ at C:\\Users\\me\\to\\it.",
    "One line\nand the next of it.\n\nA new paragraph.",
    "Il a dit « Bravo ! » et c'est tout : 3,5 % d'entre eux. Ça va ?",
    "Er sagte: „Am 24. Dezember, z. B. um 8 Uhr!“ – und ging.",
    "¿Cómo está usted, Sr. Gil? ¡Bien! L'hai già visto, però?",
    "안녕하세요. 오늘은 날씨가 좋네요! (정말로요) 3.5도입니다.",
    "वह आया। नमस्ते, कैसे हैं आप? क्\u200dष और क\u094dष।",
    "今天天气好。「我们去公园」，你好吗？【重要】二○二四年……好的！",
    "كيف حالك؟ أنا بخير، شكرا. می\u200cخواهم",
    "Привет! Как дела? Это «пример»: №5 и §3.",
]

# Chat models mean something else by these.
UNCHANGED_TEXT = [
    "It says so [1], and again [2, 3], and [4][5].",
    "The file is :memory: and the tag :name: too; XD is a company, x <3 a test.",
    "So 5*3*2, 5 * 3, a*b*c, 2*x, n*(n+1), width * height and 2**10 are products.",
    "As are 2*pi*r, width*height*depth, (a)*(b), 10 % * 2 and 5 € * 3.",
    "Call snake_case and get_user_id() or file_name_2.txt.",
    "Really?!! No!!! Well..... yes.",
]

MARKUP = [
    # Headings end as sentences.
    ("# Title\nText here.", "Title.\nText here."),
    ("###### Deep #5 ##\n\nText", "Deep #5.\n\nText"),
    ("## What now?\nWe go.", "What now?\nWe go."),
    ("Title\n=====\nText", "Title.\nText"),
    ("Title\r\n---\r\nText", "Title.\nText"),
    ("#hashtag is no heading", "#hashtag is no heading"),
    ("# 标题\n正文", "标题。\n正文"),
    # Lists: short items are enumerated, longer ones become sentences.
    ("- milk\n- bread\n- eggs\n\nDone.", "milk,\nbread,\neggs.\n\nDone."),
    ("You need\n* flour\n* **sugar**", "You need,\nflour,\nsugar."),
    ("+ one\n+ two", "one,\ntwo."),
    ("• one\n•two\n◦ three (or so)", "one,\ntwo,\nthree (or so)."),
    (
        "- an item that goes on\n  in the next line\n- b",
        "an item that goes on\n  in the next line,\nb.",
    ),
    (
        "- this is an item which is much too long to be enumerated\n- b",
        "this is an item which is much too long to be enumerated.\nb.",
    ),
    ("1. Mix it\n2. Bake at 3.5 bar\n10) Eat", "1. Mix it.\n2. Bake at 3.5 bar.\n10. Eat."),
    ("1. Fruit\n   - apples\n   - pears\n2. Cake", "1. Fruit,\napples,\npears.\n2. Cake."),
    ("- Dinner: rice\n- Tea, cake\n- Bed", "Dinner: rice.\nTea, cake.\nBed."),
    ("a) one\nb) two", "a) one,\nb) two."),
    ("- [x] done\n- [ ] open\n1. [X] yes", "done,\nopen.\n1. yes."),
    ("1\\. It was so", "1. It was so"),
    ("-5 degrees and -x", "-5 degrees and -x"),
    ("On the list: * milk * bread", "On the list: milk, bread"),
    # Quotes.
    ("> quoted *text*\n> and more\n\nNo", "quoted text\nand more\n\nNo"),
    ("> > - deep\n> > - down", "deep,\ndown."),
    ("> [!NOTE]\n> Mind this.", "NOTE\nMind this."),
    (">90 % pass.\n>= 5 too", ">90 % pass.\n>= 5 too"),
    # Emphasis, and marks that are not emphasis.
    ("**bold**, *it*, ***both*** and ~~no~~", "bold, it, both and no"),
    ("__bold__, _it_, __init__, snake_case_name", "bold, it, init, snake case name"),
    ("half**bold**word, He*ll*o", "halfboldword, Hello"),
    ("**你好**。*world*!", "你好。world!"),
    ("** glitch ** here", "glitch here"),
    ("5 * 3 is 5*3, a * b, box * 2, (2) * (3)", "5 × 3 is 5×3, a × b, box × 2, (2) × (3)"),
    ("2**3 and ~5 and ~/bin", "2 3 and ~5 and ~/bin"),
    # The factors of a product once became one word.
    ("2*x is a*b*c or n*(n+1)", "2×x is a×b×c or n×(n+1)"),
    ("2*pi*r and 10 % * 2, *a*b and **c**d", "2×pi×r and 10 % × 2, ab and cd"),
    ("$5 * $3 and *I*, *a* b", "$5 × $3 and I, a b"),
    ("**<laugh>** _<sigh>_ <long_sigh> `<laugh>`", "<laugh> <sigh> <long_sigh> <laugh>"),
    # Code: inline code is spoken, a block is not.
    ("use `foo_bar` and ``x`` now", "use foo bar and x now"),
    ("it is `row[1]` here, a fact[1]", "it is row[1] here, a fact"),
    ("the `<div>` and it`s", "the div and it's"),
    ("Code:\n```python\nprint(1)\n\n# no\n```\nAfter", "Code:\n\nAfter"),
    ("Code\n~~~\nx\n```\n ~~~~ \nAfter", "Code\n\nAfter"),
    ("1. Do:\n   ```sh\n   rm x\n   ```\n2. Go", "1. Do:\n\n2. Go."),
    ("> ```\n> x\n> ```\n> After", "After"),
    ("Well\n```py\nnever closed", "Well\n\n"),
    ("```one``` line", "one line"),
    ("```py title='a b'\nx\n```\nYes", "Yes"),
    ("So: ```py \nx = 1```\nYes", "So:\n\nYes"),
    ("````md\n```\nx\n```\n````\nYes", "Yes"),
    # Links, images, footnotes.
    ('see [the *docs*](https://a.com/x_(y) "T (t)") now', "see the docs now"),
    ("[text][1], [text][] and [a [b] c](d)", "text, text and a [b] c"),
    ("![a cat](cat.png) [![badge](b.svg)](c)", "a cat badge"),
    ("so ![](x.png) it is![1]", "so it is!"),
    ("A fact [^1]. Another[2][3]. Third【4†source】.", "A fact. Another. Third."),
    ("[1]: https://x.com 'T'\n[^a]: A note.", "A note."),
    ("[sic], [read this](or not), a[i", "[sic], [read this](or not), a[i"),
    ("un[believable](https://a.com)[1]", "unbelievable"),
    ("[long](https://a.com/" + "x" * 500 + ") now", "long now"),
    ("[cut](https://a.com", "cut"),
    # Addresses.
    ("at https://www.example.com/a/b?x=1.", "at example.com."),
    ("(see http://a.b.org), or www.foo.org/x!", "(see a.b.org), or foo.org!"),
    ("**https://a.com/x_y** http://localhost:8000/docs", "a.com localhost"),
    ("<https://a.com/b> <anna@b.com> mailto:c@d.com", "a.com anna@b.com c@d.com"),
    ("ftp://a.com/b and 请看https://a.com/b。谢谢", "a.com and 请看a.com。谢谢"),
    ("https://a.com에서 봐요", "a.com에서 봐요"),
    ("https://a.com/" + "x.y," * 400 + "z, and on", "a.com, and on"),
    # Tables.
    (
        "| A | B |\n|---|:-:|\n| 1 | yes. |\n| 2 | |\n\nText",
        "A, B.\n1, yes.\n2.\n\nText",
    ),
    ("A | B\n--- | ---\n1 | 2", "A, B.\n1, 2"),
    ("|苹果|梨|\n|a|", "苹果，梨。\na."),
    ("a || b", "a || b"),
    # Rules.
    ("One.\n\n---\n\nTwo.", "One.\n\nTwo."),
    ("* * *\n___\nTwo --- three", "Two — three"),
    ("One.\n\n~~~\n\nTwo.\n~~~~\n\nThree.", "One.\n\nTwo.\n\nThree."),
    # Formulas.
    ("So $x^2 + y_1 = \\alpha$ costs $5.", "So x² + y 1 = alpha costs $5."),
    ("\\(a \\times b\\) and $$c \\leq d$$", "a × b and c ≤ d"),
    ("\\[ \\frac{1}{2} \\pi r^{2} \\to \\text{all} \\]", "1/2 pi r², all"),
    ("It is $5/month or $5-$10, $HOME and $PATH", "It is $5/month or $5-$10, $HOME and $PATH"),
    ("\\begin{aligned}x\\end{aligned}", "x"),
    ("It is $5 or 6$, and $7; or 8$", "It is $5 or 6$, and $7; or 8$"),
    ("$$\na = 1 \\\\\nb\\,c = 2\\%\n$$", "a = 1.\nb c = 2%"),
    ("2\\times 3 in C:\\text\\new", "2× 3 in C:\\text\\new"),
    # HTML.
    ("one<br>two<br/>three", "one\ntwo\nthree"),
    ("<p>One</p><p>Two</p><ul><li>a</li><li>b</li></ul>", "One\n\nTwo\n\na,\nb."),
    ("<b class='x'>bold</b> H<sub>2</sub>O", "bold H2O"),
    ("| a<br>b | c |", "a, b, c."),
    ("no <!-- secret\n\nnote --> more", "no more"),
    ("<think>\nLet me see.\n</think>\n\n# Hello", "Hello."),
    ("<THINK>\nLet me see.\n</Think>\n\nHello", "Hello"),
    ("So <Think>hm</think> it is. <thinking>x</THINKING> Yes.", "So it is. Yes."),
    ("One.\n<think>\nx\n</think>\nTwo.", "One.\n\nTwo."),
    ("One.\n<think>\nTwo.", "One.\n<think>\nTwo."),
    ("<think>a</think> <think>b", ""),
    ("# <think>a", ""),
    ("Yes.</think> No.", "Yes. No."),
    ("So:<PRE class='a'>\n<code>x = 1 < 2</code></pre>Yes", "So: Yes"),
    ("<pre><code>never closed", "never closed"),
    ("<script src='x'>let a = 1 < 2;</SCRIPT>A <style>p {}</style>b", "A b"),
    ("A <style> of its own and a <script>", "A <style> of its own and a <script>"),
    ("<!DOCTYPE html><?xml version='1.0'?><html><body>Hi</body></html>", "Hi"),
    ("20<sup>th</sup> of x<sup>n</sup> un<b>believ</b>able", "20th of xn unbelievable"),
    ("m<sup>2</sup>, 10<sup>-3</sup>, s<sup>−1</sup>, 2<sup>10</sup>", "m², 10⁻³, s⁻¹, 2¹⁰"),
    ("<img src='a.png' alt='a &lt; b'> <img src=x>", "a < b"),
    ('Wait <break time="1s"/> now <prosody rate="slow">slow</prosody>', "Wait, now slow"),
    ('<x:y z="1">one</x:y> <foo/> two</foo>', "one two"),
    ('<laugh> <laugh a="b"> </laugh> <Happy/>', "<laugh> </laugh> <Happy/>"),
    ('<a href="https://a.com/' + "x" * 400 + '">here</a>', "here"),
    ("<a\n  href='https://a.com'>here</a>", "here"),
    ("<table><tr><td>A</td><td>B</td></tr><tr><td>1</td></tr></table>", "A, B.\n\n1.\n\n"),
    ("<thinking>x</thinking>Yes, a <think> or `<!--`", "Yes, a <think> or <!--"),
    ("<happy> <enter> <|eot_id|> <custom_token_5>", "<happy> <enter> <|eot_id|> <custom_token_5>"),
    ("a &amp; b&nbsp;&lt; c &#39;d&#x27; &none; &zwj;", "a & b < c 'd' &none;"),
    ("it&amp;#39;s &AMP;amp; so&amp;nbsp;on; R&D; AT&T;", "it's & so on; R&D; AT&T;"),
    ("A &rarr; B &#128512;!", "A, B!"),
    # Words broken by the layout.
    ("the nega-\ntive and phos- \r\n  phorus", "the negative and phosphorus"),
    (
        "a well-\nknown, state-of-\nthe-art Anglo-\nAmerican",
        "a well-known, state-of-the-art Anglo-American",
    ),
    ("nega\xad\ntive and COVID-\n19", "negative and COVID-19"),
    ("> nega-\n> tive\n> one", "negative\none"),
    ("short-\nand long-term -\nso", "short-\nand long-term -\nso"),
    # Escapes.
    ("\\*not bold\\* snake\\_case 5 \\* 3 \\[x\\]", "*not bold* snake case 5 × 3 x"),
    ("a\\\nb", "a\nb"),
    # Emoji leave no gap before punctuation, and words stay apart.
    ("Great 🎉! Yes 👨\u200d👩\u200d👧, so🎉now", "Great! Yes, so now"),
    ("Done.🎉Next (😀 one) 😀", "Done. Next (one)"),
    ("👍🏽 🇩🇪🇫🇷 🏳️\u200d🌈 ❤️ ☎️ ℹ️ ok ©️ ♯", "ok © ♯."),
    ("1️⃣ First\n2️⃣ Second 3️⃣", "1. First.\n2. Second."),
    ("✅ Fast\n❌ slow", "Fast,\nslow."),
    ("Super 🎉 !\n\n🎉\n\nJa", "Super!\n\nJa"),
    ("你好😀世界", "你好世界"),
    # Arrows become a pause.
    ("A → B, a -> b => c ➡️ d", "A, B, a, b, c, d"),
    ("→ next\n→ last", "next,\nlast."),
    ("你好 → 世界", "你好，世界"),
    # Emoticons and names of emoji.
    ("Ha =) Hi :-) there ;) you :D. And XD!", "Ha Hi there you. And!"),
    ("I <3 it :smile: at 10:30:45 ^^", "I it at 10:30:45"),
    # Repeated marks.
    ("No!!! What?!?! Well..... so…", "No! What?! Well... so…"),
    ("what⁉️ no‼️ 真的！！！", "what? no! 真的！"),
]


def feed_all(deltas: list[str], dialect: Dialect = CHAT) -> list[str]:
    """Returns the text after each delta, and after the flush."""
    stream = MarkdownToSpeech(dialect)
    return [*(stream.feed(delta) for delta in deltas), stream.flush()]


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place for place in places if place < len(text))})
    return [text[start:end] for start, end in pairwise(edges)]


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def chunks_of_answer(text: str, size: int) -> list[str]:
    """Returns the chunks of a chat model's answer that arrives in deltas of `size` characters."""
    to_speech = MarkdownToSpeech(CHAT)
    stream = ChunkStream(
        tags=TAGS, limits=LIMITS, front_end=LetterFrontEnd(lambda text: len(text) / 15)
    )
    chunks: list[PreparedText] = []
    for start in range(0, len(text), size):
        chunks += stream.feed(to_speech.feed(text[start : start + size]))
    chunks += [*stream.feed(to_speech.flush()), *stream.flush()]
    return [chunk.text for chunk in chunks]


@pytest.mark.parametrize(("text", "spoken"), MARKUP)
def test_markup_is_resolved(text: str, spoken: str) -> None:
    assert make_speakable(text, CHAT).strip(" ") == spoken
    assert "".join(feed_all(list(text))).strip(" ") == spoken


@pytest.mark.parametrize("dialect", [CHAT, TEXT], ids=["chat", "text"])
@pytest.mark.parametrize("text", PROSE)
def test_prose_is_unchanged(text: str, dialect: Dialect) -> None:
    assert make_speakable(text, dialect) == text
    assert "".join(feed_all(list(text), dialect)) == text


@pytest.mark.parametrize("text", UNCHANGED_TEXT)
def test_text_that_has_a_meaning_in_chat_only(text: str) -> None:
    assert make_speakable(text, TEXT) == text
    assert "".join(feed_all(list(text), TEXT)) == text
    assert make_speakable(text, CHAT) != text


@pytest.mark.parametrize(
    ("text", "num_left_out"),
    [
        ("**Bold**, <b>bold</b>, # and `code`.\n- A [link] &amp; 1", 0),
        ("[text](https://a.com/b) and [text](), but [](https://a.com/b)", 2),
        ("![a](b.png) <img src='b.png' alt='a'>", 2),
        ("<a href='https://a.com'>text</a> <a name=x>y</a>", 1),
        ("https://www.a.com www.b.com https://c.com/d?e=f <https://d.com/e>", 2),
        ("[1]: https://a.com", 1),
        ("One.\n```\nx\n```\nTwo. <!-- no --> [^1] 😀😀 :-)", 6),
        ("<think>hm</think> Well <think>hm</think> <script>x</script> yes", 3),
        ("<think>hm", 1),
        ("He said <think> and left.", 0),
        ("<speak>A <prosody rate='x'>b</prosody> <break/> <foo a='b'>c</foo></speak>", 3),
        ("&#128512; and &rarr;", 1),
        ("nega-\ntive", 0),
    ],
)
def test_what_is_left_out_is_counted(text: str, num_left_out: int) -> None:
    for deltas in ([text], list(text)):
        stream = MarkdownToSpeech(TEXT)
        for delta in deltas:
            stream.feed(delta)
        stream.flush()
        assert stream.num_left_out == num_left_out


def test_a_thought_may_be_longer_than_a_text_is_held_back() -> None:
    thought = "<think>" + "so it is, " * 2_000 + "</think>"
    assert make_speakable(f"{thought}Yes.", TEXT) == "Yes."
    assert make_speakable(f"Well. {thought[:5_000]}</think> Yes.", TEXT) == "Well. Yes."
    # Not a thought: the text would be held back for too long.
    text = make_speakable(f"Well. {thought} Yes.", TEXT)
    assert text.startswith("Well. <think>so it is, so")
    assert text.endswith("it is, Yes.")


@pytest.mark.parametrize(
    "opening", ["https://a.com/b", "```py\n", "<!--", "[a](http://" + "x" * 500]
)
def test_a_flush_ends_everything_else_that_is_left_out(opening: str) -> None:
    for dialect in (CHAT, TEXT):
        stream = MarkdownToSpeech(dialect)
        stream.feed(f"See {opening}" if opening[0] != "`" else opening)
        stream.flush()
        assert stream.feed("hello there") + stream.flush() == "hello there"


def test_a_flush_does_not_end_a_thought() -> None:
    stream = MarkdownToSpeech(TEXT)
    assert stream.feed("<think>One.") + stream.flush() == ""
    assert stream.feed(" Two.</think> Three.") + stream.flush() == " Three."
    # It no longer opens the text.
    assert stream.feed("<think>Four.") + stream.flush() == "<think>Four."
    assert stream.num_left_out == 1


def test_every_rule_is_used() -> None:
    """A rule that matches no text of the tables has been superseded by another rule."""
    text = "\n".join([*(text for text, _ in MARKUP), *PROSE])
    for _, pattern, _ in (*LINE_ROWS, *CHAT_ROWS, *INLINE_ROWS):
        assert re.search("".join(pattern.split(" ")), text), pattern


@pytest.mark.parametrize(
    ("deltas", "parts"),
    [
        # Prose is held back only for a mark at its end.
        ("Hello there.| How", ["Hello there.", " How", ""]),
        ("Hel|lo wor|ld", ["Hel", "lo wor", "ld", ""]),
        ("Stop!| Now|!| So", ["Stop", "! Now", "", "! So", ""]),
        ("It is *|*so*|* nice", ["It is", " so", " nice", ""]),
        ("It costs $5 for| you", ["It costs $5 for", " you", ""]),
        ("a snake_|case", ["a snake", " case", ""]),
        ("see [the| docs](htt|ps://a.b)| now", ["see", "", " the docs", " now", ""]),
        ("see https:|//a.com|/b.|html.| Next", ["see", "", " a.com", "", ". Next", ""]),
        # The sentence before a block of code is spoken while the block is still being written.
        ("Here:\n``|`py|\nx = 1|\n``|`\nAnd", ["Here:", "", "\n\n", "", "And", ""]),
        ("One.\n|\n|# |Two", ["One.", "\n\n", "", "Two", "."]),
        ("a &am|p; b", ["a", " & b", ""]),
        ("x <la|ugh> <| y", ["x", " <laugh>", " < y", ""]),
        ("x <작은 |웃음>", ["x <작은", " 웃음>", ""]),
        ("Yes 👨|\u200d👩|. No", ["Yes", "", ". No", ""]),
        ("open [brack|et", ["open", "", " [bracket"]),
        ("open ``|`", ["open", "", ""]),
    ],
)
def test_text_is_returned_when_it_is_certain(deltas: str, parts: list[str]) -> None:
    assert feed_all(deltas.split("|")) == parts


@pytest.mark.parametrize("opening", ["[", "<b ", "$x", "https://", "&", "`<div", "![a](", ":a"])
def test_markup_that_stays_open_is_returned_as_text(opening: str) -> None:
    stream = MarkdownToSpeech(CHAT)
    assert stream.feed("Well, ") == "Well,"
    words = "and so on " * (MAX_OPEN_CHARS // 10 + 1)
    assert stream.feed(opening + words + "it goes").endswith("so on it goes")


def test_a_flush_starts_anew_and_dropped_parts_are_counted() -> None:
    stream = MarkdownToSpeech(CHAT)
    assert (stream.feed("# Hi 🎉 [a"), stream.num_left_out) == ("Hi", 1)
    assert (stream.flush(), stream.num_left_out) == (" [a.", 1)
    assert stream.feed("](b)\n```\nx") == "](b)\n\n"
    assert (stream.flush(), stream.num_left_out) == ("", 2)
    assert stream.feed("x 👨\u200d👩\u200d👧👍🏽🇩🇪🇫🇷 :-) [^1] <!-- ") == "x"
    assert (stream.flush(), stream.num_left_out) == ("", 9)
    assert (stream.feed("# A") + stream.flush(), stream.flush()) == ("A.", "")


# Fragments that interact across deltas, and long runs that reach the limits.
FRAGMENTS = st.lists(
    st.sampled_from(
        ["*", "**", "_", "~~", "`", "```", "~~~", "\n", "\n\n", " ", "\t", "\r\n", "# ", "- ", "+ "]
        + ["1. ", "2) ", "> ", "[", "]", "(", ")", "![", "](", "[^1]", "[1]", "[x] ", "|", "|---|"]
        + ["---", "===", "<", "</", ">", "<br>", "<laugh>", "<li>", "<!--", "-->", "<think>", "&"]
        + [
            "</think>",
            "</THINK>",
            "<a href='",
            "<sup>2</sup>",
            "-\n",
            "\xad",
            "&amp;",
            "#39;",
            "https://",
            "www.",
            "a.com",
            "/a?b=1",
            "@",
            "mailto:",
            "$",
        ]
        + ["$$", "$5", "x^2", "\\", "\\(", "\\)", "\\frac", "\\times", "{", "}", "😀", "\u200d"]
        + ["\ufe0f", "🇩", "🏽", "\u20e3", "→", "->", ":", "-)", ":D", "smile:", ".", "!", "?", "…"]
        + [
            "5",
            "a",
            "x",
            "h",
            "Hello",
            "Dr. ",
            "你好",
            "。",
            "वह",
            "안녕",
            "e\u0301",
            "'",
            '"',
            "❶",
        ]
        + ["【4†s】", "%", "~5", "\u200b", "\x1f", "[a](b)", "[a](http://", "(b c)", "\\begin{a}"]
        + ["y" * 200, "z " * 120, "_" * 40, "-" * 90, "😀" * 60, "|" * 150, "." * 40, "[x](" * 3]
    ),
    max_size=40,
).map("".join)
CUTS = st.lists(st.integers(0, 400))


@settings(deadline=None)
@given(st.text() | FRAGMENTS, CUTS)
@example("- `<laugh>`: [a](https://b.c/d_(e).f) 1️⃣ → **x**\n```\nx\n", [])
def test_deltas_make_no_difference(text: str, places: list[int]) -> None:
    for dialect in (CHAT, TEXT):
        whole = make_speakable(text, dialect)
        assert "".join(feed_all(cut(text, places), dialect)) == whole
        assert "".join(feed_all(list(text), dialect)) == whole


WORDS = st.sampled_from(
    ["the", "horse", "a", "Xylophones", "https", "www", "mail", "3.50", "Dr. Who", "e.g. this"]
    + ["schöne", "garçon", "안녕", "नमस्ते", "今天", "十二", "it's", "well-known", "U.S.", "24/7"]
)
SENTENCES = st.builds(
    lambda words, stop: " ".join(words) + stop,
    st.lists(WORDS, min_size=1, max_size=12),
    st.sampled_from([".", "!", "?", "…", "。", "?!", ")", ' ("so")', ": yes", " – no", ""]),
)


@settings(deadline=None)
@given(
    st.lists(SENTENCES, min_size=1, max_size=6), st.sampled_from([" ", "\n\n", "\n", "  "]), CUTS
)
def test_sentences_are_unchanged(sentences: list[str], gap: str, places: list[int]) -> None:
    text = gap.join(sentences)
    for dialect in (CHAT, TEXT):
        assert "".join(feed_all(cut(text, places), dialect)) == text


# Markup around words, and the words that are spoken.
WRAPPED: list[Callable[[str], tuple[str, str]]] = [
    lambda words: (words, words),
    lambda words: (f"**{words}**", words),
    lambda words: (f"*{words}*", words),
    lambda words: (f"~~{words}~~ 🎉", words),
    lambda words: (f"`{words}`", words),
    lambda words: (f"[{words}](https://a.com/b)", words),
    lambda words: (f"![{words}][1]", words),
    lambda words: (f"<b>{words}</b>", words),
    lambda words: (f"\\({words}\\)", words),
    lambda words: (f"\n# {words}\n", words),
    lambda words: (f"\n- {words}\n", words),
    lambda words: (f"\n7. {words}\n", f"7{words}"),
    lambda words: (f"\n> {words}\n", words),
    lambda words: (f"\n| {words} | {words} |\n", words + words),
    lambda words: (f"\n```\n{words}\n```\n", ""),
    lambda words: (f"{words} → {words} [^2]", words + words),
    lambda words: (f"<!-- {words} -->", ""),
]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WRAPPED), SENTENCES), max_size=8))
def test_no_word_of_prose_is_lost(
    parts: list[tuple[Callable[[str], tuple[str, str]], str]],
) -> None:
    wrapped = [wrap(words) for wrap, words in parts]
    text = make_speakable(" ".join(markup for markup, _ in wrapped), CHAT)
    assert letters(text) == letters("".join(words for _, words in wrapped))
    assert not re.search(r"[*~`#<>|\[\]\\🎉→]", text)


HOSTILE = ["[", "*", "`", "<", "_", "$a", "(", "![", "[x](http://", "https://a", "&a", "|", "> "]
HOSTILE += ["<think>", "a-\n", "<a b='", "&amp;", "<script>", "<sup>2"]
HOSTILE += ["# ", "😀", "a", ".", ":", "\n", "<!--", "```\n", "【", "\\(", "=", "1️⃣", "\u200d", "h "]


def count_calls(text: str) -> int:
    """Counts the function calls, including those of C, for a text fed one character at a time."""
    num_calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal num_calls
        num_calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        feed_all(list(text))
    finally:
        sys.setprofile(before)
    return num_calls


@pytest.mark.parametrize("unit", HOSTILE)
def test_work_is_linear_in_the_text(unit: str) -> None:
    """Each call reads a bounded piece of text, so the number of calls measures the work."""
    once, twice = (count_calls(unit * (num // len(unit))) for num in (1_200, 2_400))
    assert twice < 2.2 * once
    assert once < 150 * 1_200


@pytest.mark.parametrize("unit", ["[", "*", "`", "<", "![a](", "https://a.b/", "😀", "$a", "\\("])
def test_hostile_text_is_converted(unit: str) -> None:
    make_speakable(unit * (32_768 // len(unit)), CHAT)


ANSWER = """Sure! Here's how to make **pancakes** 🥞:

## Ingredients

- 2 cups of *flour*
- 1.5 cups milk
- 3 eggs ([free range](https://example.com/eggs?x=1), if possible)

## Steps

1. **Mix** the flour and milk.
2. Add the eggs, e.g. one at a time
3. Bake at 180 °C for approx. 10 minutes

```python
def bake(minutes: int) -> None:
    print("done")
```

| Size  | Price |
|-------|-------|
| Small | $3.50 |
| Large | $5    |

> **Note:** Dr. Oetker's version uses `baking_powder`. It costs $1.20.

Enjoy!!! 😋 See https://www.example.com/recipes/1 for more."""


@pytest.mark.parametrize("size", [1, 4, 7, 10_000])
def test_the_chunks_of_an_answer(size: int) -> None:
    assert chunks_of_answer(ANSWER, size) == [
        "Sure! Here's how to make pancakes:",
        "Ingredients.",
        "2 cups of flour, 1.5 cups milk, 3 eggs (free range, if possible).",
        "Steps.",
        "1. Mix the flour and milk. 2. Add the eggs, e.g. one at a time.",
        "3. Bake at 180 °C for approx. 10 minutes.",
        "Size, Price. Small, $3.50. Large, $5.",
        "Note: Dr. Oetker's version uses baking powder.",
        "It costs $1.20.",
        "Enjoy! See example.com for more.",
    ]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        # Items keep their numbers, and no sentence is cut at a decimal or an abbreviation.
        (
            "The steps are:\n1. Mix it all very well\n2. Wait for 3.5 hours\n10. Eat",
            ["The steps are: 1. Mix it all very well.", "2. Wait for 3.5 hours. 10. Eat."],
        ),
        (
            "1) Preheat the oven to 200 °C.\n\n2) Bake it.",
            ["1. Preheat the oven to 200 °C.", "2. Bake it."],
        ),
        (
            "**Mr. J. R. Smith, Ph.D.** paid $3.50, vs. $4.25 before. *Then* he left.",
            ["Mr. J. R. Smith, Ph.D. paid $3.50, vs. $4.25 before.", "Then he left."],
        ),
        (
            "- See **No. 5** and `fig_3` at 5 p.m.\n- Version 3.11.7 is out",
            ["See No. 5 and fig 3 at 5 p.m.", "Version 3.11.7 is out."],
        ),
        (
            "I. The first of the chapters\nII. The second\nIII. The third one\nIV. End",
            ["I. The first of the chapters, II. The second, III. The third one, IV. End."],
        ),
        ("That is really very funny. 😂 <laugh> So", ["That is really very funny.", "<laugh> So."]),
        (
            "Am **24. Dezember** z.B. um 8 Uhr kam er. Ja.",
            ["Am 24. Dezember z.B. um 8 Uhr kam er.", "Ja."],
        ),
        ("- 苹果很好吃也很红\n- 梨\n\n**好**！", ["苹果很好吃也很红， 梨。", "好！"]),
    ],
)
def test_chunks_of_markup(text: str, chunks: list[str]) -> None:
    assert chunks_of_answer(text, 1) == chunks
    assert chunks_of_answer(text, 10_000) == chunks


def test_the_first_chunk_does_not_wait_for_its_line() -> None:
    to_speech = MarkdownToSpeech(CHAT)
    stream = ChunkStream(
        tags=TAGS, limits=LIMITS, front_end=LetterFrontEnd(lambda text: len(text) / 15)
    )
    (chunk,) = stream.feed(to_speech.feed("- **Hello** to all of you [out](a.b) there. S"))
    assert chunk.text == "Hello to all of you out there."


def test_signs_are_left_to_the_rules_of_the_language() -> None:
    text = make_speakable(
        "At <https://www.example.com/a> or anna@example.com, 5 * 3 = $x^2$.", CHAT
    )
    assert normalise(text, is_word=lambda word: True) == (
        "At example dot com or anna at example dot com, 5 times 3 equals x squared ."
    )
