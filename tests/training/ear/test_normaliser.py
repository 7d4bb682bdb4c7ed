import pytest

from training.ear.normaliser import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Money.
        ("$5.50", "five dollars fifty cents"),
        ("five dollars and fifty cents", "five dollars fifty cents"),
        ("$42.15", "forty two dollars fifteen cents"),
        ("£1, $1.01, €2.5 million", "one pound one dollar one cent two point five million euros"),
        ("$3 million", "three million dollars"),
        ("$1,200", "one thousand two hundred dollars"),
        ("14.99 euros", "fourteen euros ninety nine cents"),
        ("1.01 dollars", "one dollar one cent"),
        # Times.
        ("on Friday at 630, or at 1245.", "on friday at six thirty or at twelve forty five"),
        ("at 630 degrees, 630", "at six thirty degrees six hundred thirty"),
        ("4:30 pm", "four thirty pm"),
        ("4:30 p.m.", "four thirty pm"),
        ("at 4.30 in the evening", "at four thirty in the evening"),
        ("4.15 PM", "four fifteen pm"),
        ("9:05 a.m.", "nine oh five am"),
        ("nine o five", "nine oh five"),
        ("4:00, four o'clock", "four oclock four oclock"),
        ("4:00 pm", "four pm"),
        # Dates.
        ("1/2/2020", "january second twenty twenty"),
        ("2020-01-02", "january second twenty twenty"),
        ("May 3, 1998", "may third nineteen ninety eight"),
        ("May the third, nineteen ninety-eight", "may third nineteen ninety eight"),
        ("12 March 1998", "the twelfth of march nineteen ninety eight"),
        ("on the twelfth of March", "on the twelfth of march"),
        ("on the 12th of March", "on the twelfth of march"),
        ("the 1990s, the '80s", "the nineteen nineties the eighties"),
        # Ordinals and other numbers.
        ("the 3rd, 21st and 112th", "the third twenty first and one hundred twelfth"),
        ("1,250", "one thousand two hundred fifty"),
        ("a hundred and five", "one hundred five"),
        ("one hundred five", "one hundred five"),
        ("one and two", "one and two"),
        ("3.14", "three point one four"),
        ("25%, 25 per cent", "twenty five percent twenty five percent"),
        ("5-10 km", "five to ten kilometers"),
        ("20°C", "twenty degrees celsius"),
        ("½, 3/4, 2½", "one half three quarters two and one half"),
        ("555-1234", "five five five one two three four"),
        ("5551234", "five five five one two three four"),
        ("007", "zero zero seven"),
        ("No. 5, #6", "number five number six"),
        ("room 204 in 1905", "room two hundred four in nineteen oh five"),
    ],
)
def test_digits_become_words(text: str, words: str) -> None:
    assert " ".join(words_of(text)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the neighbour's grey harbour", "the neighbors gray harbor"),
        ("Travelled, realised, analysed.", "traveled realized analyzed"),
        ("theatre centre, metres, centred", "theater center meters centered"),
        ("dialogue in the defence", "dialog in the defense"),
        ("our hour, four flour, your pour", "our hour four flour your pour"),
        ("filled and filed", "filled and filed"),
    ],
)
def test_british_spellings_become_american(text: str, words: str) -> None:
    assert " ".join(words_of(text)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I can't; I cannot; I can not", "i can not i can not i can not"),
        ("won't they're I'd we've she'll I'm", "will not they are i would we have she will i am"),
        ("It's Anna's. Let's go!", "it is annas let us go"),
        ("It’s “fine”", "it is fine"),
        ("'hello,' said 'em", "hello said them"),
        ("gonna", "going to"),
    ],
)
def test_contractions_are_expanded(text: str, words: str) -> None:
    assert " ".join(words_of(text)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well-known, café; naïve…", "well known cafe naive"),
        ("Mr. Smith & Dr. Jones", "mister smith and doctor jones"),
        ("the U.S. and A.B.C. news", "the us and abc news"),
        ("Yes—no (maybe)?!", "yes no maybe"),
        ("", ""),
        ("...", ""),
    ],
)
def test_punctuation_is_dropped(text: str, words: str) -> None:
    assert " ".join(words_of(text)) == words
