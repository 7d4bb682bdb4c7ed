"""Where a text is cut into chunks, and that nothing is lost."""

import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from orpheus_server.text.splitting import split_in_two, split_text

# Words, marks and breaks that the rules treat specially, joined at random.
FRAGMENTS = st.lists(
    st.sampled_from(
        ["Hello", "he", "Dr.", "etc.", "J.", "U.S.", "No.", "7", "3.14", "v1.2.", "said", "I."]
        + ['"Stop!"', "«Non", "!»", "»", "(see", "p.)", "...", "…", "—", "-", "***", "😀", "end."]
        + [
            "<laugh>",
            "<작은 웃음>",
            "Ha!<sigh>",
            "你好。",
            "「你好！」",
            "，",
            "हिन्दी।",
            "क्षि",
            "👨\u200d👩",
        ]
        + ["x" * 40, "e" + "\u0301" * 12, "🇩🇪🇫🇷"]
    ).flatmap(
        lambda word: st.sampled_from([" ", " ", "\n", "\n\n", ""]).map(lambda gap: word + gap)
    )
).map("".join)
MAX_CHARS = st.integers(1, 12) | st.integers(12, 200)


def no_space(text: str) -> str:
    return "".join(text.split())


@settings(deadline=None)
@given(st.text() | FRAGMENTS, MAX_CHARS)
@example("<작은 웃음>", 1)
@example("a <b c> d", 2)
def test_nothing_is_lost(text: str, max_chars: int) -> None:
    chunks = split_text(text, max_chars=max_chars)
    assert no_space("".join(chunks)) == no_space(text)
    for chunk in chunks:
        assert 0 < len(chunk) <= max_chars
        assert " ".join(chunk.split()) == chunk


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="。！？｡।॥，、；：")), st.integers(20, 100))
def test_words_are_not_cut(text: str, max_chars: int) -> None:
    assume(all(len(word) <= max_chars for word in text.split()))
    assume("<" not in text)
    assert " ".join(split_text(text, max_chars=max_chars)).split() == text.split()


@settings(deadline=None)
@given(FRAGMENTS, st.integers(50, 200))
def test_tags_and_characters_are_not_cut(text: str, max_chars: int) -> None:
    chunks = split_text(text, max_chars=max_chars)
    for tag in ("<laugh>", "<작은 웃음>", "<sigh>"):
        assert sum(chunk.count(tag) for chunk in chunks) == text.count(tag)
    for chunk in chunks:
        assert unicodedata.category(chunk[0])[0] != "M"
        assert chunk[0] != "\u200d"


@settings(deadline=None)
@given(FRAGMENTS, st.integers(50, 200))
@example("Hello Hello Hello\n\n!» !» ", 50)
@example("Hello Hello Hello\n\n« !", 50)
def test_punctuation_is_alone_only_if_it_fits_into_no_neighbour(text: str, max_chars: int) -> None:
    chunks = split_text(text, max_chars=max_chars)
    for index, chunk in enumerate(chunks):
        if not any(map(str.isalnum, chunk)):
            neighbours = chunks[max(0, index - 1) : index] + chunks[index + 1 : index + 2]
            assert all(len(f"{near} {chunk}") > max_chars for near in neighbours)


@pytest.mark.parametrize(
    ("text", "max_chars", "expected"),
    [
        ("", 10, []),
        (" \n\n ", 10, []),
        ("...", 10, ["..."]),
        ("One. Two.  Three.", 100, ["One. Two. Three."]),
        ("First one here. Second one here.", 20, ["First one here.", "Second one here."]),
        ("It was long, and it went on.", 16, ["It was long,", "and it went on."]),
        ("one two three four five six", 15, ["one two three", "four five six"]),
        ("abcdefghij", 4, ["abcd", "efg", "hij"]),
        ("你好吗。我很好！真的？是", 5, ["你好吗。", "我很好！", "真的？是"]),
        ("今天天气好，我们去公园", 8, ["今天天气好，", "我们去公园"]),
        ("वह आया। वह गया।", 9, ["वह आया।", "वह गया।"]),
        ("كيف حالك؟ أنا بخير۔ نعم", 12, ["كيف حالك؟", "أنا بخير۔", "نعم"]),
        ("red roses\nblue violets", 14, ["red roses", "blue violets"]),
        ("Chapter 1\n\nIt began. It went on.", 40, ["Chapter 1 It began. It went on."]),
        ("It began. It went on.\n\nIt ended.", 40, ["It began. It went on.", "It ended."]),
        ("One is here.\n\n***\n\nTwo is here.", 20, ["One is here. ***", "Two is here."]),
        ("Great thing! 😀 Next thing now.", 18, ["Great thing! 😀", "Next thing now."]),
        ("aaa bbb ccc ddd eee fff ggg. Hi.", 30, ["aaa bbb ccc ddd eee fff ggg.", "Hi."]),
        ("One paragraph here.\n\nBye.", 36, ["One paragraph here. Bye."]),
        ("One paragraph here.\n\nBye.", 24, ["One paragraph here.", "Bye."]),
        ("One paragraph here.\n\nGoodbye.", 36, ["One paragraph here.", "Goodbye."]),
        ("One paragraph here.\n\nA.\n\nB.", 36, ["One paragraph here. A. B."]),
        ("— Bonjour toi. — Salut toi.", 16, ["— Bonjour toi.", "— Salut toi."]),
        ("- item one\n- item two", 12, ["- item one", "- item two"]),
    ],
)
def test_split_text(text: str, max_chars: int, expected: list[str]) -> None:
    assert split_text(text, max_chars=max_chars) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "Then old Mr. Brown met Mrs. Ng.",
        "I saw Dr. Who and Prof. X there.",
        "We read J. R. R. Tolkien there.",
        "They saw e.g. Rome and i.e. it.",
        "I have read No. 7 and fig. 2 too.",
        "It was about 3.14 or 1.000 now.",
        "We have v1.2.3 of setup.py here.",
        "Go to www.example.com and look.",
        "It is 5 p.m. and 7 a.m. in there.",
        "Foo Inc. Bar Ltd. Baz Co. Qux it.",
        "Wir sind z.B. Hr. Maier und Nr. 5.",
        "Ici M. Hulot et Mme. Hulot sont.",
        "Es el Sr. Gil y la Sra. Gil y Ud. ya.",
        "The end... and then on… and over.",
        "It is etc. and more etc. in here.",
        "Then Gen. Lee met Col. Fitz there.",
        "We go on Jan. 5 and Dec. 24 to it.",
        "Das ist, z. B. mit ihm, um 15.30 so.",
        "Er kommt am 3. oder 4. des Monats.",
    ],
)
def test_a_full_stop_inside_a_sentence_does_not_end_it(sentence: str) -> None:
    """With a cut at every ". ", "Mr." was a chunk of its own, read as a whole sentence."""
    following = "Next one is here."
    assert split_text(f"{sentence} {following}", max_chars=len(sentence) + 5) == [
        sentence,
        following,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pens, ink, etc. They left.", ["Pens, ink, etc.", "They left."]),
        ("We met at 5 p.m. They left.", ["We met at 5 p.m.", "They left."]),
        ("It is in the U.S. They left.", ["It is in the U.S.", "They left."]),
        ("She just said: No. They left.", ["She just said: No.", "They left."]),
        ("And so, so am I. They left.", ["And so, so am I.", "They left."]),
    ],
)
def test_an_abbreviation_can_end_a_sentence(text: str, expected: list[str]) -> None:
    assert split_text(text, max_chars=20) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Then it was. "Stop!" he said.', ["Then it was.", '"Stop!" he said.']),
        ("Alors voilà. «Non!» dit-il.", ["Alors voilà.", "«Non!» dit-il."]),
        ("Alors voilà. « Non ! » dit-il.", ["Alors voilà.", "« Non ! » dit-il."]),
        ("It was cold. “Where?” she asked.", ["It was cold.", "“Where?” she asked."]),
        ("Es war kalt. „Halt!“ rief er.", ["Es war kalt.", "„Halt!“ rief er."]),
        ('"Stop right now!" They left.', ['"Stop right now!"', "They left."]),
        ("(It was so.) They left now.", ["(It was so.)", "They left now."]),
    ],
)
def test_a_quote_stays_with_its_attribution(text: str, expected: list[str]) -> None:
    assert split_text(text, max_chars=20) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("That is funny. <laugh> So very.", ["That is funny.", "<laugh> So very."]),
        ("정말 참 재미있네요. <작은 웃음> 좋아요.", ["정말 참 재미있네요.", "<작은 웃음> 좋아요."]),
        ("That is funny <laugh>. So very.", ["That is funny <laugh>.", "So very."]),
        ("Ha, funny!<laugh> So it is then.", ["Ha, funny!<laugh>", "So it is then."]),
        ("x" * 17 + "<laugh>" + "y" * 5, ["x" * 15, "xx<laugh>yyyyy"]),
    ],
)
def test_a_tag_is_not_cut_and_stays_in_its_sentence(text: str, expected: list[str]) -> None:
    """RealtimeTTS#290: a tag at the start of a sentence was lost by the splitter."""
    assert split_text(text, max_chars=22) == expected


def test_a_tiny_last_chunk_is_balanced_with_the_previous_one() -> None:
    """canopyai#159: short phrases are spoken badly, so 90 + 8 characters become 50 + 48."""
    sentence = "It was a bright cold day."
    text = " ".join([sentence] * 3 + ["Yes, it."])
    assert split_text(text, max_chars=80) == [" ".join([sentence] * 2), f"{sentence} Yes, it."]


def test_a_tiny_first_sentence_joins_half_of_a_long_one() -> None:
    text = "Ok. It was a bright cold day in April, and the clocks were striking thirteen."
    assert split_text(text, max_chars=75) == [
        "Ok. It was a bright cold day in April,",
        "and the clocks were striking thirteen.",
    ]


@pytest.mark.parametrize(
    "text",
    ["e\u0301\u0323" * 40, "क्षि" * 40, "👨\u200d👩\u200d👧" * 40, "👍🏽" * 40],
)
def test_a_long_word_is_cut_between_whole_characters(text: str) -> None:
    whole = {text[0]}
    assert {chunk[0] for chunk in split_text(text, max_chars=17)} == whole


@pytest.mark.parametrize("max_chars", [0, -1])
def test_max_chars_below_one_is_rejected(max_chars: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        split_text("a", max_chars=max_chars)


# The longest input is 32,768 characters; worse than linear time shows at a sixth of that too.
HOSTILE_TEXTS = [
    "a",
    "<",
    "<a>",
    "<a",
    ". ",
    "a ",
    "Hi. ",
    "a, ",
    "a\n\n",
    "你",
    "न्",
    "🇩🇪",
    '"',
    "。",
    " ",
]


@pytest.mark.parametrize("max_chars", [1, 50, 500, 40_000])
@pytest.mark.parametrize(
    "text",
    ["e" + "\u0301" * 4096, *(unit * (6_000 // len(unit)) for unit in HOSTILE_TEXTS)],
    ids=lambda text: ascii(text[:4]),
)
def test_hostile_text_is_split(text: str, max_chars: int) -> None:
    """Fault case 3: 4096 combining marks or one endless word must not block the server."""
    assert no_space("".join(split_text(text, max_chars=max_chars))) == no_space(text)
    split_in_two(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is here.", ("One is here.", "Two is here.")),
        ("One, two. Three, four. Five.", ("One, two.", "Three, four. Five.")),
        ("It was long, and it went on", ("It was long,", "and it went on")),
        ("one two three four", ("one two", "three four")),
        ("Ok. It was a bright cold day", ("Ok. It was a", "bright cold day")),
        ("今天天气好", ("今天", "天气好")),
        ("<咳嗽>今天", ("<咳嗽>今", "天")),
        ("word", None),
        ("", None),
        ("word !", None),
        ("<laugh> Hello", None),
        ("... ---", None),
    ],
)
def test_split_in_two(text: str, expected: tuple[str, str] | None) -> None:
    assert split_in_two(text) == expected


@settings(deadline=None)
@given(FRAGMENTS)
def test_split_in_two_loses_nothing(text: str) -> None:
    halves = split_in_two(text)
    if halves is not None:
        assert no_space("".join(halves)) == no_space(text)
        assert all(any(map(str.isalnum, half)) for half in halves)
