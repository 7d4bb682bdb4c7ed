"""Characters that end, open and join sentences, in many scripts."""

QUOTES = "\"'“”„‘’«»‹›「」『』"
OPENERS = "“‘«‹„([{「『【〈《（［¿¡"
# German closes with “ and «, so any quotation mark at the end of a word may be a closing one.
CLOSERS = QUOTES + ")]}】〉》）］"
CJK_CLOSERS = "\"'”’」』)]}】〉》）］"
BEFORE_WORD = QUOTES + OPENERS
STOPS = ".!?…。！？｡।॥؟۔"
CLAUSE_MARKS = ",;:—–،؛，、；："
DASHES = "-–—"
