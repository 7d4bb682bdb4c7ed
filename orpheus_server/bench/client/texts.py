"""English texts of three lengths; durations assume about 15 characters per second."""

from typing import Literal, get_args

TextLength = Literal["short", "medium", "long"]
LENGTHS: tuple[TextLength, ...] = get_args(TextLength)

SHORT = (
    "The last ferry leaves in about twenty minutes.",
    "Please put the blue cups back on the shelf.",
    "We walked home slowly under a yellow moon.",
    "Nobody had told him that the shop was closed.",
    "Your table by the window will be ready at noon.",
    "She keeps all of her keys in an old tea tin.",
    "The rain stopped just before the match began.",
    "Could you read me the last line once more?",
)
"""One sentence each, about 3 s."""

MEDIUM = (
    "The baker opens her door at six in the morning. By then the first loaves are already "
    "cooling by the window, and the whole street smells of warm bread.",
    "Turn left at the old post office and follow the river for a mile. You will see a red "
    "bridge with two lamps, and the garden is on the other side.",
    "My grandfather repaired clocks for most of his life. He said that every one of them had "
    "its own voice, and that he could name his customers with closed eyes.",
    "Your parcel left the warehouse this afternoon and should reach you by Friday. If nobody "
    "is at home, the driver will leave it with one of your neighbours.",
    "The lake freezes late in December, and for a few weeks the children skate to school. "
    "Their teacher keeps a box of dry socks beside the stove for those who fall.",
    "Before you start, wash the apples and cut them into thin slices. Add a little lemon, a "
    "spoon of sugar and some cinnamon, and let everything rest for a while.",
)
"""Two sentences each, about 10 s."""

LONG = (
    "The lighthouse stood on a narrow strip of rock, an hour by boat from the nearest village. "
    "For thirty years the same woman had looked after it. She cleaned the great lens every "
    "morning, wrote down the wind and the clouds, and lit the lamp before the sun touched the "
    "water. In summer people came to visit her with baskets of fruit and news from the town. In "
    "winter she saw nobody for weeks, and talked to the gulls instead. One evening in November "
    "a fishing boat lost its engine in a heavy sea. The crew could not see the coast, and the "
    "radio was silent. Then the light swept over them, slow and steady, and the old captain "
    "began to count the seconds between the flashes. He knew where he was. With two oars and "
    "a torn sail they reached the harbour shortly after midnight. The next day all five of them "
    "rowed out to the rock to thank her, and she made them wash their own cups afterwards.",
    "When the railway company closed the small station, most people in the valley thought that "
    "the building would simply fall down. The windows broke, the roof began to leak, and grass "
    "grew between the rails. Then a young carpenter asked whether he could rent the waiting "
    "room. He repaired the floor with boards from an old barn and put his workbench under the "
    "station clock. A potter took the ticket office, because it had a good stove. A year later "
    "there was a library in the luggage room, with a soft chair for anyone who wanted to read. "
    "On Saturdays the neighbours sold vegetables on the platform, and someone always brought "
    "a violin. Nobody had planned any of it. One spring morning a train stopped there by "
    "mistake, and the passengers leaned out of the windows. Some of them got off to have a look, "
    "bought a bowl or a bag of pears, and missed their train without any regret.",
    "Learning to sail is mostly learning to pay attention. At first everything happens at the "
    "same time: the boat leans, the ropes pull, the water is cold, and somebody is shouting "
    "words that you have never heard before. After a few days the noise begins to make sense. "
    "You feel the wind on your neck before you see it on the water, and your hand moves without "
    "being told. Our teacher was a quiet man who had crossed two oceans alone. He never raised "
    "his voice. If we made a mistake he let us make it, and then asked what the boat had tried "
    "to tell us. On the last afternoon the wind dropped completely, and we lay in the middle of "
    "the bay for three hours without moving. We told stories, shared the last oranges and "
    "watched the hills turn purple. It was, he said later, the best lesson of the whole week, "
    "because nobody had been able to hurry.",
    "Every town has a street that visitors never find, and ours begins behind the fish market. "
    "It is so narrow that two people with umbrellas cannot pass each other. On the left there "
    "is a shop that sells nothing but buttons, thousands of them, sorted by colour in small "
    "wooden drawers. The owner can look at a coat from across the room and walk straight to the "
    "drawer that holds its missing button. Next door a man repairs radios, although he admits "
    "that he mostly listens to them. Further up the hill there is a stone bench with a view of "
    "the harbour, and on that bench, on every dry evening, sit the same four friends. They have "
    "argued about the same football match since they were boys. I once asked them who had been "
    "right. They looked at me with pity, moved a little closer together, and explained that "
    "this was not at all the point, and that I should sit down and listen.",
)
"""About 60 s each."""

_TEXTS: dict[TextLength, tuple[str, ...]] = {"short": SHORT, "medium": MEDIUM, "long": LONG}


def text_for(length: TextLength, index: int) -> str:
    """Returns the text of the request with this index; texts repeat in order."""
    texts = _TEXTS[length]
    return texts[index % len(texts)]


def sentences_for(index: int, *, num_sentences: int) -> str:
    """Returns consecutive sentences; the next index continues after them."""
    first = index * num_sentences
    return " ".join(text_for("short", first + offset) for offset in range(num_sentences))
