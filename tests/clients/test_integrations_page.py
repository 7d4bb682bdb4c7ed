"""The examples of `docs/integrations.md` run as they are, but for address and key."""

import re
from pathlib import Path

import pytest

from tests.clients.conftest import Address
from tests.support.clients import check_speech, run_source
from tests.support.speech import decode

pytestmark = pytest.mark.clients

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
EXAMPLES = [
    pytest.param(language, source, id=f"{title.split('(')[0].strip()}-{index}")
    for title, section in re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for index, (language, source) in enumerate(
        re.findall(r"^```(python|js)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    )
]
SPOKEN = "The weather will be fine tomorrow."
DOCUMENTED = "http://127.0.0.1:8880/v1"


@pytest.mark.parametrize(("language", "source"), EXAMPLES)
def test_example(address: Address, tmp_path: Path, language: str, source: str) -> None:
    assert source.count(DOCUMENTED) == source.count('"none"') == 1
    source = source.replace(DOCUMENTED, address.url).replace('"none"', f'"{address.key}"')
    printed = run_source(language, source, tmp_path)
    for name in re.findall(r'"(speech\.\w+)"', source):
        path = tmp_path / name
        check_speech(decode(path.suffix[1:], path.read_bytes()), SPOKEN)
    if "print(" in source:
        assert printed.splitlines()[-1] == SPOKEN
