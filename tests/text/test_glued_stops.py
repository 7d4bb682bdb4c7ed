"""Ends of sentences that no space follows, and the names, numbers and code that look like them."""

import pytest

from orpheus_server.text.boundaries import BreakPoints
from orpheus_server.text.word_breaks import BreakStrength


def sentences(text: str) -> list[str]:
    breaks = BreakPoints(text)
    found, start = [], 0
    while start < len(breaks.text):
        end = breaks.first_from(BreakStrength.SENTENCE, start + 1)
        found.append(breaks.text[start:end].strip())
        start = end
    return found


@pytest.mark.parametrize(
    "text",
    [
        "It was published in 2024.|The next one is late.",
        "It was 12.|The next one is late.",
        "It costs $3.50.|That is too much.",
        "It grew by 5%.|Then it fell.",
        "We are late.|Come on.",
        "We are late.|I think so.",
        "We are late.|I, for one, am.",
        "It was in 2024.|NASA said so.",
        "They were late.|NASA, too.",
        "It ended in 1999.|A new one came.",
        "Is it late?|Yes, it is.",
        "Is that NASA?|NASA it is!|ESA too.",
        "Wait...|What was that?",
        "Wait…|What was that?",
        'He said "it is late."|Then he left.',
        "He left (it was late).|She stayed.",
        "He left (it was late.)|She stayed.",
        "It is late.|(She stayed.)",
        "It was in the USA.|Then it was here.",
        "We meet at 10 a.m.|Let us go.",
        "Visit example.com.|Then call us.",
        "It runs on Python3.|Then we tried v2.|It failed.",
        "Es ist spät.|Wir gehen.|Über uns.",
        "Il est tard.|Écoute.",
        "Уже поздно.|Пойдём.",
        "It was late.|And/or not.",
        "One is here.|Two is here.|Three is here.|Four is here.",
        "It's late.|It's over.",
        "Fine.|Yes.|Good morning.",
        "I am fine.|Sure.|Thanks.|Bye.",
        "It is late.|No.|We are early.|Okay.",
        "Hello.|Wait.|Stop.|I am here.",
        "Spät.|Ja.|Gut.|Es ist spät.",
    ],
)
def test_a_stop_glued_to_a_capital_ends_a_sentence(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split("|")


@pytest.mark.parametrize(
    "text",
    [
        *("node.js", "Node.js", "Node.Js", "Vue.JS", "ASP.NET", "ASP.MVC", "setup.py", "README.MD"),
        *("example.Com", "www.Example.Org", "https://Example.Com/Path.Html", "Bob.Smith@mail.com"),
        *("U.S.A", "U.S.A.", "J.R.R.Tolkien", "Ph.D", "B.Sc", "e.g.Rome", "i.e.Rome", "z.B.Rom"),
        *("Dr.Smith", "Mr.Brown", "St.Louis", "Mt.Everest", "vs.Rome", "No.5", "U.S.Army"),
        *(
            "3.14",
            "1.000.000",
            "v1.A",
            "v1.Beta",
            "v2.3.Final",
            "2.A",
            "24.Dezember",
            "192.168.0.1",
        ),
        *("System.Text.Json", "java.util.List", "Console.WriteLine(x)", "List.Of(x)", "a.B.c"),
        *("System.Text.Json", "Foo.Bar.Baz", "Go.the.com", "Yes.No.com", "Good.Look(x)"),
        *("src/main.Rs", r"C:\Temp.Old", "self.Name=x", "Foo.bar", "x.Y", "it.the", "one.two"),
    ],
)
def test_a_stop_inside_a_name_or_number_does_not(text: str) -> None:
    sentence = f"This here is {text} and more."
    assert sentences(f"{sentence} Next.") == [sentence, "Next."]


@pytest.mark.parametrize("text", ["1.The first one\n2.The second one", "(2).The one", "II.The one"])
def test_the_number_of_an_item_stays_with_it(text: str) -> None:
    assert sentences(text) == [" ".join(text.split())]


def test_scripts_without_spaces_are_cut_as_before() -> None:
    found = ["今天天气好。", "我们去公园。", "OK。", "Yes好"]
    assert sentences("".join(found)) == found


@pytest.mark.parametrize(
    "unit", ["a.B", "ab.Cd", "ab.", ".A", '."', '."“', "1.A", "a.Bc(", "a…B", "ab.(((", "ab.Cdefgh"]
)
def test_hostile_words_take_linear_time(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    assert "".join(sentences(text)) == text
