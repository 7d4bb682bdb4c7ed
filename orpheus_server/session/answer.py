"""One message to the language model and its answer: an utterance whose text the model writes."""

from orpheus_server.interfaces import ReplyOptions
from orpheus_server.session.sent_sound import SentSound
from orpheus_server.synthesis.job import SpeechStats
from orpheus_server.talk import HowToSpeak, Talk


class Answer:
    """What is known of it; `talk` and `sound` are there once it has begun.

    `recorded` is what the session's history holds of it, None while it is being spoken.
    """

    def __init__(self, index: int, question: str, options: ReplyOptions, how: HowToSpeak) -> None:
        self.index = index
        self.question = question
        self.options = options
        self.how = how
        self.talk: Talk | None = None
        self.sound: SentSound | None = None
        self.recorded: str | None = None

    @property
    def stats(self) -> SpeechStats:
        """Of its sound."""
        return self.talk.stats if self.talk else SpeechStats()

    @property
    def text(self) -> str:
        """What the model has written so far."""
        return self.talk.reply.text if self.talk else ""

    def heard(self, num_played: int) -> str:
        """The words behind so many samples."""
        return self.sound.heard(num_played) if self.sound else ""

    def begin(self, talk: Talk, sound: SentSound) -> None:
        """It is being written from now on."""
        self.talk, self.sound = talk, sound
