"""Web and email addresses, paths and file names are read like their spelled-out form."""

from tests.support.readings import reading_test

READINGS = {
    "Write to jane_doe-2@mail.example.co.uk.": (
        "Write to jane underscore doe dash two at mail dot example dot co dot U K."
    ),
    "ABC99@AOL.COM": "ABC nine nine at AOL dot com",
    "a@hotmail.fr": "a at hotmail dot F R",
    "Visit shop.example.de/page-12 today": (
        "Visit shop dot example dot D E slash page dash one two today"
    ),
    "www.example.com.br": "W W W dot example dot com dot B R",
    "See https://example.org/a_b.": "See example dot org slash a underscore b.",
    "/usr/bin is a folder": "slash usr slash bin is a folder",
    "~/notes.txt": "tilde slash notes dot T X T",
    "Open report_2024-05-17_final.pdf now": (
        "Open report two zero two four zero five one seven final dot P D F now"
    ),
    "IMG_20231105_081500.jpg": (
        "I M G two zero two three one one zero five zero eight one five zero zero dot J P G"
    ),
    "backup-2024-05-17": "backup two zero two four zero five one seven",
    "chapter 12.docx": "chapter twelve dot doc X",
    "data.csv and main.py": "data dot C S V and main dot P Y",
    "The end.Is it": "The end. Is it",
    "HTTPS://WWW.SHOP.NET": "W W W dot shop dot net",
    "ftp://files.example.org": "F T P colon slash slash files dot example dot org",
    "Open example.org:8443/status": "Open example dot org colon eight four four three slash status",
    "watch it on clips.tv": "watch it on clips dot T V",
    "my-shop.store has it": "my dash shop dot store has it",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)
