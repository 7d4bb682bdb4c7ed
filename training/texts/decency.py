"""Words that a voice's training texts leave out: slurs, sex, and what makes a text unpleasant."""

import re

# Each also matches with what may follow it: "rap(e|ed|ing|ist)" is "rape" here.
STEMS = (
    *("rape", "rapi", "sex", "whore", "bitch", "bastard", "fuck", "shit", "piss", "crap", "cunt"),
    *("nigg", "negro", "darky", "darkie", "coon", "gyp", "jap", "kike", "dago", "wop", "chink"),
    *("queer", "fag", "homosexual", "lesbian", "pervert", "porn", "prostitut", "brothel", "harlot"),
    *(
        "slut",
        "nude",
        "naked",
        "penis",
        "penile",
        "vagina",
        "genital",
        "testic",
        "breast",
        "nipple",
    ),
    *("erotic", "orgasm", "copulat", "masturbat", "semen", "condom", "lecher", "lewd", "incest"),
    *("hooker", "pimp", "harem", "concubine", "mistress", "virgin", "castrat", "abort", "fetus"),
    *("nazi", "hitler", "holocaust", "genocid", "massacre", "lynch", "slave", "savage", "heathen"),
    *("suicid", "murder", "corpse", "cadaver", "tortur", "behead", "strangl", "mutilat", "molest"),
    *("cripple", "retard", "moron", "imbecile", "idiot", "spastic", "lunatic", "dwarf", "midget"),
    *(
        "feces",
        "fecal",
        "urin",
        "defecat",
        "vomit",
        "diarrh",
        "menstru",
        "anal",
        "rectal",
        "rectum",
    ),
    *("cocaine", "heroin", "opium", "jew", "gypsy", "redskin", "squaw", "mulatto", "colored"),
    *(
        "buttock",
        "crotch",
        "belch",
        "fart",
        "terroris",
        "gore",
        "gory",
        "syphil",
        "damn",
        "racial",
        "racis",
        "slur",
        "electrocut",
        "adulter",
        "intimate with",
        "loose wom",
        "funeral pyre",
        "circumcis",
        "make water",
    ),
)
# Decent words that begin like a stem.
ALLOWED = ("analy", "analo", "rapid", "jewel", "gypsum", "japan", "sextant", "faggot", "retarda")
INDECENT = re.compile(rf"\b(?!{'|'.join(ALLOWED)})(?:{'|'.join(STEMS)})", re.IGNORECASE)


def is_decent(text: str) -> bool:
    return INDECENT.search(text) is None
