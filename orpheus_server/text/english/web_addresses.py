"""Web addresses, email addresses and file names."""

import re

from orpheus_server.text.english.numerals import digits
from orpheus_server.text.english.rules import any_of, compile_rules

SEPARATORS = {".": " dot ", "/": " slash ", "-": " dash ", "_": " underscore ", "&": " ampersand "}
SEPARATORS |= {"+": " plus ", "~": " tilde ", "%": " percent ", "#": " hash ", ":": " colon "}
# Top-level domains that are read as words, and those of hosts without "www." or a path.
SPOKEN_DOMAINS = frozenset(
    ("com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "app", "dev", "me", "co")
)
BARE_DOMAINS = (
    *("com", "org", "net", "edu", "gov", "mil", "info", "biz", "app", "dev", "xyz", "io", "ai"),
    *("uk", "us", "ca", "au", "nz", "ie", "de", "fr", "it", "es", "pt", "nl", "be", "ch", "at"),
    *("eu", "se", "dk", "fi", "pl", "cz", "gr", "ru", "cn", "jp", "kr", "in", "br", "mx", "za"),
    *("tv", "ly", "gg", "fm", "cc", "tr", "il", "sg", "hk", "tw", "vn", "ar", "cl", "ua", "hu"),
    *("ro", "bg", "sk", "lt", "lv", "ee", "lu", "online", "store", "shop", "tech", "blog", "site"),
    *("cloud", "wiki", "pro", "mobi", "museum"),
)
# Without "js": "node.js" is a name.
EXTENSIONS = (
    *("pdf", "jpg", "jpeg", "png", "gif", "svg", "mp3", "mp4", "wav", "csv", "html", "htm", "xml"),
    *("css", "docx", "doc", "xlsx", "xls", "pptx", "ppt", "txt", "md", "py", "exe", "json", "zip"),
    *("yaml", "yml", "log", "toml", "sh", "tar", "gz", "bak", "sql"),
)
SPOKEN_EXTENSIONS = {"json": "jason", "zip": "zip", "log": "log", "tar": "tar", "doc": "doc"}
SPOKEN_EXTENSIONS |= {
    "docx": "doc X",
    "toml": "toml",
    "yaml": "yaml",
    "bak": "back",
    "sql": "sequel",
}
# With fewer digits, a number in a file name is one that counts something.
MIN_DIGITS_OF_DATE = 6
DIGITS = re.compile(r"\d+")


def spell_digits(text: str) -> str:
    return DIGITS.sub(lambda number: f" {digits(number[0]) if number[0][1:] else number[0]} ", text)


def _domain(name: str) -> str:
    return name if name in SPOKEN_DOMAINS or len(name) > 3 else name.upper()


def _host(host: str) -> str:
    """Returns a host as it is read: its top-level domain spelled unless it is a word."""
    *labels, domain = host.split(".")
    domain = domain.lower()
    labels = ["W W W" if label.lower() == "www" else _part(label) for label in labels]
    return " dot ".join((*labels, _domain(domain) if labels else domain))


def _part(text: str) -> str:
    named = "".join(SEPARATORS.get(char, char) for char in text)
    return spell_digits(re.sub(r"[^\w ]", " ", named)).strip()


def _email(match: re.Match[str]) -> str:
    path = match["path"] or ""
    end = path.rstrip(".")
    slash = f" slash {_part(end[1:])}" if end else ""
    return f"{_part(match['user'])} at {_host(match['host'])}{slash}{path[len(end) :]}"


def _address(match: re.Match[str]) -> str:
    whole = match["address"]
    body = whole.rstrip(".,;:!?)'’")
    host, slash, path = body.partition("/")
    spoken = _host(host) if re.fullmatch(r"[\w.-]+", host) else _part(host)
    return f"{spoken}{' slash ' if slash else ''}{_part(path)}" + whole[len(body) :]


def _extension(name: str) -> str:
    return SPOKEN_EXTENSIONS.get(name.lower(), name.upper())


def _file_name(match: re.Match[str]) -> str:
    """Reads the digits of a name with a date or a time stamp one by one."""
    stem, extension = match["stem"], _extension(match["extension"])
    if sum(map(str.isdigit, stem)) >= MIN_DIGITS_OF_DATE:
        stem = re.sub(r"[\W_]+", " ", spell_digits(stem)).strip()
    return f"{stem} dot {extension}"


def _path(match: re.Match[str]) -> str:
    body = match[0].rstrip(".,;:!?)'’")
    scheme, colon, path = body.partition(":")
    start = f"{scheme} colon " if colon else ""
    return f"{start}{_part(path if colon else body)}{match[0][len(body) :]}"


def _dated_name(match: re.Match[str]) -> str:
    return re.sub(r"[\W_]+", " ", spell_digits(match[0])).strip()


RULES = compile_rules(
    # The login of a URL is not read aloud.
    (r"(?<=[A-Za-z0-9]{2}://)[^\s/?#<>\"“”]{1,300}@", ""),
    (r"\b(?!(?i:https?|ftp|file):)([A-Za-z][A-Za-z0-9]{1,20})://(?=\w)", r"\1 "),
    (
        r"(?<![\w.+&*#-])(?P<user>[\w.+&*#!~%-]{1,64})"
        r"@(?P<host>(?:[a-zA-Z0-9-]{1,63}\.){1,5}[a-zA-Z]{2,24})(?P<path>/[\w./-]{1,200})?"
        r"(?![\w-])",
        _email,
    ),
    (r"\b(?:(?i:https?)://|(?=(?i:www)\.))(?P<address>[^\s<>\"“”]+)", _address),
    (r"\b(?i:ftp)://(?=\w)", "F T P colon slash slash "),
    # Paths: "/usr/bin", "~/notes.txt", "file:///tmp".
    (r"(?<![\w<:/.~])(?:file:/{0,2}|~|\.{1,2})?/[A-Za-z_.][\w./~-]{0,200}", _path),
    (
        r"(?<![\w./-])(?P<stem>[\w-]{1,80}(?:\.[\w-]{1,40}){0,2})\."
        rf"(?P<extension>{any_of(EXTENSIONS)})\b(?!\.\w)",
        _file_name,
    ),
    (
        r"(?<![\w./@-])(?P<address>(?:[a-zA-Z0-9][a-zA-Z0-9-]{0,62}\.){1,5}"
        rf"(?:{any_of(BARE_DOMAINS)}|com?\.[a-z]{{2}})"
        r"(?::\d{2,5}(?!\d))?(?:/[\w/.-]{0,200})?)(?![\w-])",
        _address,
    ),
    # "backup_2024-05-17", "IMG-20240517".
    (
        r"(?<![\w.-])(?!\d{4}-\d\d-\d\dT\d\d:)(?=[\d_-]{0,40}[A-Za-z])"
        r"[A-Za-z\d_-]{0,60}(?<!\d)(?:19|20)\d\d[-_]?[01]\d[-_]?[0-3]\d(?!\d)"
        r"[\w-]{0,60}",
        _dated_name,
    ),
)
