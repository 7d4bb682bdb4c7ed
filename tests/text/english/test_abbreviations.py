"""Abbreviations are read as words, with a stop only where a sentence ends."""

from tests.support.readings import reading_test

READINGS = {
    "a/b/c": "a b c",
    "St. Louis is big.": "Saint Louis is big.",
    "We saw St. Mary at St. Paul's.": "We saw Saint Mary at Saint Paul's.",
    "She left Main St. yesterday.": "She left Main Street yesterday.",
    "I live on Main St. It is nice.": "I live on Main Street. It is nice.",
    "Oak Dr.": "Oak Drive.",
    "The shop on Oak Dr. is closed.": "The shop on Oak Drive is closed.",
    "Dr. Oak lives on 5th Dr. in Leeds.": "Doctor Oak lives on fifth Drive in Leeds.",
    "I saw the Dr. yesterday.": "I saw the Doctor yesterday.",
    "Gen. Lee and Prof. Ann Hill": "General Lee and Professor Ann Hill",
    "Lt. Col. Gray met Sen. Dole.": "Lieutenant Colonel Gray met Senator Dole.",
    "No. 5 is alive": "Number five is alive",
    "see no. 12 and Nos. 3": "see number twelve and Numbers three",
    "Fig. 3 and fig. 4": "Figure three and figure four",
    "See pp. 5-7 of vol. 2, ch. 4.": "See pages five to seven of volume two, chapter four.",
    "The answer is no.": "The answer is no.",
    "approx. 20 people": "approximately twenty people",
    "the dept. store": "the department store",
    "Acme Inc. grew.": "Acme Incorporated grew.",
    "tea w/ milk, w/o sugar": "tea with milk, without sugar",
    "Chapter XIV and part IX": "Chapter fourteen and part nine",
    "Louis XVI lost": "Louis the sixteenth lost",
    "Charles V. and Leo X prayed": "Charles the fifth. and Leo the tenth prayed",
    "George V. Smith and Malcolm X": "George V. Smith and Malcolm X",
    "World War II ended, World War I began": "World War two ended, World War one began",
    "Chapter IV begins; Act V": "Chapter four begins; Act five",
    "Type II cells and the Mark IV tank": "Type two cells and the Mark four tank",
    "Give IV fluids; Start IV antibiotics": "Give IV fluids; Start IV antibiotics",
    "Super Bowl LIV, DIM or MIX": "Super Bowl fifty four, DIM or MIX",
    "a 401(k) plan": "a four oh one K plan",
    "WWII and WW1": "World War two and World War one",
    "the XIX century": "the nineteenth century",
    "the XXIst": "the twenty first",
    "Ist es das": "Ist es das",
    "my 401k": "my four oh one K",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)
