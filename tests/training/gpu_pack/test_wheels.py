"""Tests of the list of packages."""

from training.gpu_pack.wheels import requirements


def test_packages_are_pinned_to_what_is_installed() -> None:
    names = [each.partition("==")[0] for each in requirements(has_speech=True)]
    assert names == ["safetensors", "snac", "soundfile"]
    assert all(
        version for _, _, version in (r.partition("==") for r in requirements(has_speech=False))
    )
    assert requirements(has_speech=True)[:2] == requirements(has_speech=False)
