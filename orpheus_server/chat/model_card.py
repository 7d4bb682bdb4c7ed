"""Details of a language model from its folder: its size and its model card's licence."""

from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard

from orpheus_server.interfaces import ChatModelInfo

_LICENSES = {
    "apache-2.0": ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "mit": ("MIT", "https://opensource.org/license/mit"),
}


def describe_model(known: ChatModelInfo, folder: Path, *, num_parameters: int) -> ChatModelInfo:
    """Completes `known` from the files next to the weights. Blocks."""
    parameters = known.parameters or short_number(num_parameters)
    if known.license:
        return replace(known, parameters=parameters)
    name, url = _license_of(folder)
    return replace(known, parameters=parameters, license=name, license_url=url)


def short_number(number: int) -> str:
    """Formats a number like "2.6B" or "1.5M"."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            return f"{number / unit:.1f}{name}"
    return str(number)


def _license_of(folder: Path) -> tuple[str, str]:
    """Returns the licence's name and URL, empty if the card is silent or unreadable."""
    path = folder / "README.md"
    if not path.is_file():
        return "", ""
    try:
        card = ModelCard.load(path, ignore_metadata_errors=True)
    except Exception:  # a malformed model card must not stop the server
        return "", ""
    data = card.data.to_dict()
    named, link = data.get("license_name"), data.get("license_link")
    key = data.get("license")
    name, url = _LICENSES.get(str(key).casefold(), (str(key or ""), ""))
    # The hub uses `other` when the name is in `license_name`.
    return str(named or name), str(link or url)
