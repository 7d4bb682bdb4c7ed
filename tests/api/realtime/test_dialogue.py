"""The turns of a session: their order, their limit, and their corrections."""

from orpheus_server.api.realtime.dialogue import MAX_HISTORY_CHARS, History
from orpheus_server.interfaces import ChatMessage

SYSTEM = ChatMessage("system", "Be brief.")


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


def assistant(text: str) -> ChatMessage:
    return ChatMessage("assistant", text)


def turns_of(history: History) -> list[ChatMessage]:
    return list(history.messages)


def test_turns_in_order() -> None:
    history = History()
    assert turns_of(history) == []
    history.ask("Hello?")
    history.answer("Hello.")
    history.ask("Who?")
    assert turns_of(history) == [user("Hello?"), assistant("Hello."), user("Who?")]


def test_an_empty_answer_is_not_a_turn() -> None:
    history = History()
    history.ask("Hello?")
    history.answer(" \n")
    assert turns_of(history) == [user("Hello?")]


def test_system_prompts_come_first() -> None:
    history = History()
    history.restart([user("Hi."), SYSTEM, assistant("")])
    assert turns_of(history) == [SYSTEM, user("Hi.")]
    history.system_prompt = "You are a cook."
    assert turns_of(history) == [ChatMessage("system", "You are a cook."), SYSTEM, user("Hi.")]
    history.restart([])
    assert turns_of(history) == [ChatMessage("system", "You are a cook.")]


def test_correcting_an_answer() -> None:
    history = History()
    history.ask("Hello?")
    history.answer("Hello, my friend.")
    history.correct_answer("Hello,")
    assert turns_of(history) == [user("Hello?"), assistant("Hello,")]
    for _ in range(2):
        history.correct_answer("")
        assert turns_of(history) == [user("Hello?")]


def test_forgetting_unanswered_questions() -> None:
    history = History()
    history.ask("Hello?")
    history.answer("Hello.")
    history.ask("And")
    history.ask("why?")
    history.forget_question()
    assert turns_of(history) == [user("Hello?"), assistant("Hello.")]


def test_the_oldest_turns_are_dropped_but_not_the_system_prompt() -> None:
    history = History(max_chars=1000)
    history.restart([SYSTEM])
    for letter in "abcd":
        history.ask(letter * 200)
        history.answer(letter.upper() * 200)
    # Of 1600 characters, the first two questions and their answers were dropped.
    assert turns_of(history) == [
        SYSTEM,
        user("c" * 200),
        assistant("C" * 200),
        user("d" * 200),
        assistant("D" * 200),
    ]


def test_the_last_turn_is_never_dropped() -> None:
    history = History(max_chars=1000)
    history.ask("a")
    history.answer("b")
    history.ask("c" * 2000)
    assert turns_of(history) == [user("c" * 2000)]


def test_the_number_of_short_turns_is_limited() -> None:
    """Otherwise each question would be sent with up to a hundred thousand one-letter messages."""
    history = History()
    for _ in range(3000):
        history.ask("a")
    assert len(history.messages) == MAX_HISTORY_CHARS // 100


def test_a_conversation_started_by_the_assistant() -> None:
    history = History()
    history.restart([assistant("Welcome."), user("Hi.")])
    assert turns_of(history) == [assistant("Welcome."), user("Hi.")]
