"""British spellings as American ones.

Both sides of a comparison are respelled, so a rule may change a word that has only one spelling. It
must not make two different words equal.
"""

import re

_RULES = (
    # Three letters before "our" spare "hour", "four", "flour" and "your".
    (
        re.compile(r"([a-z]{3,})our(s|ed|er|ers|ing|ful|fully|able|ably|ite|ites|hood|less|)"),
        r"\1or\2",
    ),
    (re.compile(r"([a-z]{3,})(i|y)s(e|ed|es|er|ers|ing|ation|ations|able)"), r"\1\2z\3"),
    (re.compile(r"([a-z]{2,}[tb])re(s|)"), r"\1er\2"),
    (re.compile(r"([a-z]{2,}[tb])red"), r"\1ered"),
    (re.compile(r"([a-z]+)ogue(s|)"), r"\1og\2"),
    (re.compile(r"([a-z]{2,})oes"), r"\1os"),
    # Two vowels before "ll" keep "filled" and "filed" apart.
    (re.compile(r"([a-z]*[aeiou][^aeiou]+[aeiou])ll(ed|ing|er|ers|ous|ously)"), r"\1l\2"),
)

_LIST = {
    "acknowledgement": "acknowledgment",
    "aeroplane": "airplane",
    "ageing": "aging",
    "anaemia": "anemia",
    "anaesthetic": "anesthetic",
    "archaeology": "archeology",
    "artefact": "artifact",
    "axe": "ax",
    "cheque": "check",
    "cheques": "checks",
    "cosy": "cozy",
    "defence": "defense",
    "diarrhoea": "diarrhea",
    "doughnut": "donut",
    "draught": "draft",
    "draughts": "drafts",
    "encyclopaedia": "encyclopedia",
    "enrol": "enroll",
    "foetus": "fetus",
    "fulfil": "fulfill",
    "fulfilment": "fulfillment",
    "gaol": "jail",
    "grey": "gray",
    "greyish": "grayish",
    "greys": "grays",
    "instalment": "installment",
    "jewellery": "jewelry",
    "judgement": "judgment",
    "kerb": "curb",
    "licence": "license",
    "manoeuvre": "maneuver",
    "mould": "mold",
    "mouldy": "moldy",
    "moustache": "mustache",
    "odour": "odor",
    "odours": "odors",
    "offence": "offense",
    "omelette": "omelet",
    "paediatric": "pediatric",
    "plough": "plow",
    "ploughed": "plowed",
    "practise": "practice",
    "practised": "practiced",
    "practising": "practicing",
    "pretence": "pretense",
    "programme": "program",
    "programmes": "programs",
    "pyjamas": "pajamas",
    "sceptic": "skeptic",
    "sceptical": "skeptical",
    "skilful": "skillful",
    "smoulder": "smolder",
    "storey": "story",
    "storeys": "stories",
    "sulphur": "sulfur",
    "tyre": "tire",
    "tyres": "tires",
    "wilful": "willful",
    "woollen": "woolen",
    "yoghurt": "yogurt",
}


def to_american(word: str) -> str:
    """Returns the American spelling of a lower-case word."""
    if word in _LIST:
        return _LIST[word]
    for pattern, replacement in _RULES:
        if match := pattern.fullmatch(word):
            word = match.expand(replacement)
    return word
