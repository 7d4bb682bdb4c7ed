"""Licence and size of a language model, from the files next to its weights."""

from pathlib import Path

import pytest

from orpheus_server.chat.model_card import describe_model, short_number
from orpheus_server.chat.model_info import known_chat_model


@pytest.mark.parametrize(
    ("number", "text"),
    [(2_614_341_888, "2.6B"), (1_500_000, "1.5M"), (112_064, "112.1K"), (7, "7")],
)
def test_numbers(number: int, text: str) -> None:
    assert short_number(number) == text


@pytest.mark.parametrize(
    ("card", "license_name", "url"),
    [
        ("license: apache-2.0", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
        ("license: bsd-3-clause", "bsd-3-clause", ""),
        (
            "license: other\nlicense_name: qwen-research\nlicense_link: https://a.example/LICENSE",
            "qwen-research",
            "https://a.example/LICENSE",
        ),
        ("language: en", "", ""),
        ("license: [", "", ""),
    ],
)
def test_a_card(tmp_path: Path, card: str, license_name: str, url: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n# A model\n")
    known = known_chat_model("owner/name", provider="orpheus-server")
    info = describe_model(known, tmp_path, num_parameters=1_500_000)
    assert (info.name, info.parameters) == ("owner/name", "1.5M")
    assert (info.license, info.license_url, info.attribution) == (license_name, url, "")


def test_no_card(tmp_path: Path) -> None:
    known = known_chat_model("owner/name", provider="orpheus-server")
    assert describe_model(known, tmp_path, num_parameters=7).license == ""


def test_gemma_is_known(tmp_path: Path) -> None:
    """Whatever the card of a copy says."""
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    known = known_chat_model("somebody/my-Gemma", provider="orpheus-server")
    info = describe_model(known, tmp_path, num_parameters=270_000_000)
    assert (info.license, info.parameters) == ("Gemma Terms of Use", "270.0M")
    assert info.attribution == "Gemma by Google DeepMind, subject to the Gemma Terms of Use"
