"""`API_KEYS`: names, digests, and error messages that never contain a key."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.errors import StartError
from orpheus_server.server.api_keys import ApiKeys, parse_api_keys


def names(api_keys: ApiKeys) -> list[str]:
    return [name for name, _ in api_keys.entries]


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("abcdefgh", {"key1": "abcdefgh"}),
            ("anna:abcdefgh", {"anna": "abcdefgh"}),
            (" anna:abcdefgh , ijklmnop ", {"anna": "abcdefgh", "key2": "ijklmnop"}),
            ("abcdefgh,A_b.c-9:a:b:c:d:e", {"key1": "abcdefgh", "A_b.c-9": "a:b:c:d:e"}),
            ("x:!\"#$%&'()*+-./:;<=>?@[]^_`{|}~\\", {"x": "!\"#$%&'()*+-./:;<=>?@[]^_`{|}~\\"}),
        ],
    )
    def test_names_and_keys(self, text: str, expected: dict[str, str]) -> None:
        api_keys = parse_api_keys(text)
        assert names(api_keys) == list(expected)
        for name, key in expected.items():
            assert api_keys.name_of(key) == name

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "entry 1: it is empty"),
            (" ", "entry 1: it is empty"),
            ("SECRET-1,", "entry 2: it is empty"),
            (",SECRET-1", "entry 1: it is empty"),
            ("SECRET1", "entry 1: a key has at least 8 characters, this one 7"),
            ("anna:", "entry 1: a key has at least 8 characters, this one 0"),
            ("SECRET 12", "entry 1: a key is printable ASCII without spaces"),
            ("SECRET-1,SECRÉT-2", "entry 2: a key is printable ASCII"),
            ("SECRET\x7f12", "entry 1: a key is printable ASCII"),
            (":SECRET-1", "entry 1: the name before ':' may hold"),
            ("SE CRET:SECRET-1", "entry 1: the name before ':' may hold"),
            ("a:SECRET-1,a:SECRET-2", "entry 2: its name is already used"),
            ("key2:SECRET-1,SECRET-2", "entry 2: its name is already used"),
            ("a:SECRET-1,b:SECRET-1", "entry 2: the same key"),
        ],
    )
    def test_invalid_entries_are_rejected(self, text: str, message: str) -> None:
        with pytest.raises(StartError) as caught:
            parse_api_keys(text)
        assert str(caught.value).startswith(f"API_KEYS=(hidden), {message}")
        assert "SECR" not in str(caught.value)

    def test_keys_are_kept_as_digests(self) -> None:
        api_keys = parse_api_keys("anna:SECRET-1")
        assert api_keys.entries == (("anna", hashlib.sha256(b"SECRET-1").digest()),)
        assert repr(api_keys) == "ApiKeys()"


class TestNameOf:
    API_KEYS = parse_api_keys("anna:abcdefgh,ben:ijklmnop")

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "abcdefg",
            "abcdefghi",
            "ABCDEFGH",
            "abcdefgh ",
            "anna",
            "abcdefgh,ijklmnop",
            "\udcff",
        ],
    )
    def test_similar_tokens_are_not_keys(self, token: str) -> None:
        assert self.API_KEYS.name_of(token) is None

    @given(st.text())
    def test_no_other_token_is_a_key(self, token: str) -> None:
        expected = {"abcdefgh": "anna", "ijklmnop": "ben"}.get(token)
        assert self.API_KEYS.name_of(token) == expected


@given(
    st.lists(
        st.text(string.ascii_letters + string.digits + "!:/+=~", min_size=8),
        min_size=1,
        unique=True,
    )
)
def test_each_key_has_its_own_name(keys: list[str]) -> None:
    api_keys = parse_api_keys(",".join(f"n{index}:{key}" for index, key in enumerate(keys)))
    assert [api_keys.name_of(key) for key in keys] == [f"n{index}" for index in range(len(keys))]
