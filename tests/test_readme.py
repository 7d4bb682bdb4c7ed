"""README and `docs/`: short, linked, in step with the code, and with examples that run."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orpheus_server.chat.echo import EchoModel
from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import PUBLISHED
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer
from tests.support.served import ServedFakes

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"))

# Quotes in troubleshooting that are not this project's own words.
FOREIGN_QUOTES = {
    "[Errno 98] Address already in use",
    "operator torchvision::nms does not exist",
    "curl: (18)",
    "Bfloat16 is only supported on GPUs with compute capability of at least 8.0",
}


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row of every table, headings included."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


def source_strings() -> list[str]:
    """Every text of the package, with `…` for what is filled in, and the Makefile."""
    texts = [read("Makefile")]
    for path in (ROOT / "orpheus_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                texts.append("".join(map(str, parts)))
    return texts


def test_the_readme_is_short() -> None:
    text = read("README.md")
    assert len(text.splitlines()) <= 150
    assert len(text.split()) < 1200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path), target


def test_the_readme_links_every_page() -> None:
    links = re.findall(r"\]\((docs/[a-z-]+\.md)", read("README.md"))
    assert set(links) == {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}


def run_example(page: str, served: ServedFakes, folder: Path) -> str:
    """Runs the first Python example of a page in `folder`; its standard output."""
    _, _, rest = read(page).partition("```python\n")
    code, _, _ = rest.partition("```")
    documented = "http://127.0.0.1:8880"
    assert documented in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace(documented, served.url)],
        cwd=folder,
        timeout=WAIT_LIMIT_SEC,
        check=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.decode()


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    with ServedFakes(FakeServer()) as served:
        run_example("README.md", served, tmp_path)
    assert (tmp_path / "speech.wav").read_bytes().startswith(b"RIFF")
    assert (tmp_path / "speech.mp3").stat().st_size > 1000


def test_the_example_of_chat(tmp_path: Path) -> None:
    with ServedFakes(FakeServer(chat=EchoModel())) as served:
        printed = run_example("docs/chat.md", served, tmp_path)
    assert printed == "Tell me something about the sea.\n"
    assert (tmp_path / "answer.wav").read_bytes().startswith(b"RIFF")


def test_the_routes_of_the_readme() -> None:
    """`/tts?prompt=` in the address bar, and the JSON of the curl command."""
    text = read("README.md")
    page = re.search(r"http://127\.0\.0\.1:8880(/tts\?\S+)", text)
    body = re.search(r"-d '([^']+)'", text)
    assert page is not None
    assert body is not None
    with FakeServer().client() as client:
        spoken = client.get(page[1])
        posted = client.post(
            "/v1/audio/speech", content=body[1], headers={"content-type": "application/json"}
        )
    for response in (spoken, posted):
        assert (response.status_code, response.headers["content-type"]) == (200, "audio/wav")


def test_every_setting_has_a_row_with_its_default() -> None:
    rows = [row for row in rows_of(read("docs/settings.md")) if row[0].startswith("`")]
    fields = Settings.model_fields
    assert [row[0] for row in rows] == [f"`{name.upper()}`" for name in fields]
    for (_, shown, _), field in zip(rows, fields.values(), strict=True):
        default = field.default
        if isinstance(default, bool):
            assert shown == str(default).lower()
        elif isinstance(default, float):
            assert float(shown) == default
        elif default is not None:
            assert shown == str(default)


@pytest.mark.parametrize("checkpoint", PUBLISHED, ids=lambda checkpoint: checkpoint.source)
def test_every_checkpoint_is_listed_with_its_voices_and_tags(checkpoint: Checkpoint) -> None:
    text = read("docs/checkpoints.md")
    assert f"`{checkpoint.source}`" in text
    shown = [cell for row in rows_of(text) for cell in row]
    for language, tags in checkpoint.emotion_tags.items():
        voices = [voice for voice in checkpoint.voices if voice.language == language]
        assert ", ".join(voice.name for voice in voices if voice.is_listed) in shown
        assert not tags or ", ".join(tags) in shown


def test_every_route_is_documented() -> None:
    text = read("docs/api.md")
    for path in FakeServer().build_app().openapi()["paths"]:
        plain = path.replace("{model}", "{id}")
        assert f"{plain}`" in text or f"{plain.removeprefix('/v1')}`" in text, path


def test_every_code_exists() -> None:
    known = {text for text in source_strings() if re.fullmatch(r"[a-z_]+", text)}
    errors = read("docs/api.md").partition("## Errors")[2]
    codes = {code for row in rows_of(errors) for code in re.findall(r"`([a-z_]+)`", row[-1])}
    rejected = {
        code
        for row in rows_of(read("docs/troubleshooting.md"))
        for code in re.findall(r"`([a-z_]+)`", row[0])
    }
    assert len(codes) > 20
    assert rejected <= codes <= known


def test_quoted_messages_are_the_codes_own() -> None:
    quotes = [
        quote
        for row in rows_of(read("docs/troubleshooting.md"))
        for quote in re.findall(r"`([^`]+)`", row[0])
        if " " in quote and quote not in FOREIGN_QUOTES
    ]
    assert len(quotes) > 20
    texts = source_strings()
    for quote in quotes:
        parts = [part.strip() for part in quote.split("…") if part.strip(" :=.")]
        assert any(all(part in text for part in parts) for text in texts), quote
