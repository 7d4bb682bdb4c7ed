"""Speaks items through `/v1/audio/speech`, as users hear them."""

from collections.abc import Callable, Sequence

from training.evaluate.items import Item
from training.evaluate.sampling import Sampling
from training.evaluate.speech_service import Answer, Counts, SpeechService
from training.evaluate.spoken import Spoken, SpokenFolder

BATCH_SIZE = 8
"""Items written together. They are requested one after the other: the real-time factor is that of
one listener."""


def speak_served(
    service: SpeechService,
    items: Sequence[Item],
    folder: SpokenFolder,
    sampling: Sampling,
    is_stopped: Callable[[], bool],
) -> None:
    """Speaks the items that the folder lacks, a batch at a time."""
    missing = folder.missing(items)
    for start in range(0, len(missing), BATCH_SIZE):
        if is_stopped():
            return
        answers: list[tuple[Item, Answer]] = []
        for item in missing[start : start + BATCH_SIZE]:
            if not is_stopped():
                answers.append((item, service.speak(request_for(item, sampling))))
        if not answers:
            return
        counts = service.counts_of([answer.request_id for _, answer in answers])
        folder.add(
            [to_spoken(item, answer, counts.get(answer.request_id)) for item, answer in answers]
        )
        print(f"served: {start + len(answers)} of {len(missing)}", flush=True)


def request_for(item: Item, sampling: Sampling) -> dict[str, object]:
    """Returns the body of the request for an item."""
    return {
        "input": item.text,
        "voice": item.voice,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": item.seed,
    }


def to_spoken(item: Item, answer: Answer, counts: Counts | None) -> Spoken:
    """Returns an item with what the server's log says of it, if it says anything."""
    result: dict[str, object] = {"elapsed_sec": answer.elapsed_sec, "error": answer.error}
    if counts is not None:
        result |= {
            "num_chunks": counts.num_chunks,
            "num_attempts": counts.num_attempts,
            "num_degraded": counts.num_degraded,
        }
    return Spoken(item, answer.samples, result)
