"""The settings, and `.env.sample` that documents them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from orpheus_server.errors import StartError
from orpheus_server.settings import Settings, load_settings, warnings_for

SAMPLE = Path(__file__).parent.parent / ".env.sample"


@pytest.fixture(autouse=True)
def _own_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that settings are read from is the test's own."""
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")


def read_sample(path: Path) -> dict[str, tuple[str | None, str]]:
    """Returns value (None if commented out) and description of every setting in the file."""
    entries: dict[str, tuple[str | None, str]] = {}
    for block in path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")[1:]:
        *comments, line = block.split("\n")
        assert all(comment.startswith("# ") for comment in comments)
        assert comments
        description = " ".join(comment.removeprefix("# ") for comment in comments)
        name, _, value = line.removeprefix("# ").partition("=")
        assert name not in entries
        is_unset = line.startswith("# ")
        assert not (is_unset and value)
        entries[name] = None if is_unset else value, description
    return entries


def written(value: object) -> str:
    """Returns a default as written in a file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_sample_matches_the_settings() -> None:
    expected = {
        name.upper(): (
            None if field.default is None else written(field.default),
            " ".join((field.description or "").split()),
        )
        for name, field in Settings.model_fields.items()
    }
    assert read_sample(SAMPLE) == expected
    assert list(read_sample(SAMPLE)) == list(expected)


def test_a_copied_sample_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(SAMPLE.read_bytes())
    settings = load_settings()
    assert settings.model_dump() == {
        name: field.default for name, field in Settings.model_fields.items()
    }
    assert warnings_for(settings) == []


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "http", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "65536", "a whole number from 1 to 65535"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("TTS_DTYPE", "int8", "bfloat16, float16 or float32"),
        ("TTS_MAX_MODEL_LEN", "1024", "a whole number from 2048 to 131072"),
        ("TTS_GPU_MEMORY_UTILIZATION", "0", "a number above 0 and at most 1"),
        ("TTS_GPU_MEMORY_UTILIZATION", "90", "a number above 0 and at most 1"),
        ("TTS_TEMPERATURE", "hot", "a number from 0 to 2"),
        ("TTS_TEMPERATURE", "nan", "a number from 0 to 2"),
        ("TTS_REPETITION_PENALTY", "3", "a number from 0.5 to 2"),
        ("TTS_MAX_TOKENS", "99", "a whole number from 100 to 8192"),
        ("TTS_MAX_WORKERS", "1.5", "a whole number from 1 to 256"),
        ("TTS_MAX_INPUT_CHARS", "-1", "a whole number of at least 0"),
        ("TTS_ON_FAILURE", "retry", "best or error"),
        (
            "TTS_DEFAULT_RESPONSE_FORMAT",
            "ogg",
            "wav, pcm, mp3, opus, aac or flac",
        ),
        ("TTS_DETERMINISTIC", "maybe", "true or false"),
        ("TTS_ENFORCE_EAGER", "2", "true or false"),
        ("TTS_FIRST_AUDIO_FRAMES", "1", "a whole number from 2 to 3"),
        ("TTS_FIRST_AUDIO_FRAMES", "4", "a whole number from 2 to 3"),
        ("SNAC_DEVICE", "gpu", "cpu, cuda or cuda:N"),
        ("SNAC_DEVICE", "cuda:", "cpu, cuda or cuda:N"),
        ("SNAC_DEVICE", "cpu:1", "cpu, cuda or cuda:N"),
    ],
)
def test_a_bad_value_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    """TTS_MAX_TOKENS was treated as a secret because of its name, and its value was hidden; the
    rest of the line was pydantic's: "a valid integer, unable to parse string as an integer".
    """
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError) as caught:
        load_settings()
    assert str(caught.value) == f"Bad settings:\n  {name}={value!r}: must be {allowed}"


def test_all_bad_values_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("TTS_TOP_P", "0")
    with pytest.raises(StartError, match=r"^Bad settings:\n  PORT=.*\n  TTS_TOP_P=[^\n]*$"):
        load_settings()


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:11"])
def test_codec_devices(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("SNAC_DEVICE", device)
    assert load_settings().snac_device == device


def test_the_hub_token_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    settings = load_settings()
    assert settings.hf_token is not None
    assert settings.hf_token.get_secret_value() == "hf_secret"
    assert "hf_secret" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    with pytest.raises(StartError) as caught:
        load_settings(hf_token=["hf_secret"])
    assert str(caught.value) == "Bad settings:\n  HF_TOKEN=(hidden): must be text"


def test_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_settings().port == 8880
    (tmp_path / ".env").write_text("PORT=1\nHOST=file\nLOG_LEVEL=ERROR\n")
    assert load_settings().port == 1
    monkeypatch.setenv("PORT", "2")
    monkeypatch.setenv("HOST", "environment")
    settings = load_settings(port=3)
    assert (settings.port, settings.host, settings.log_level) == (3, "environment", "ERROR")


@pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
def test_every_format_can_be_the_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TTS_DEFAULT_RESPONSE_FORMAT", name)
    assert load_settings().tts_default_response_format == name


def test_a_malformed_file_stops_the_start(tmp_path: Path) -> None:
    """The line was skipped, and so was the setting in it."""
    (tmp_path / ".env").write_text("PORT=9000\nHOST: 0.0.0.0\n")
    with pytest.raises(StartError, match=r"\.env, line 2: must be NAME=value"):
        load_settings()


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """It became part of the first name, which was then ignored."""
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=9000\r\n")
    assert load_settings().port == 9000


def test_an_empty_value_means_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TTS_MAX_WORKERS=\nPORT=7\n")
    monkeypatch.setenv("PORT", "")
    settings = load_settings()
    assert settings.tts_max_workers is None
    assert settings.port == 7


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "TTS_MAX_WORKRES",
            "TTS_MAX_WORKRES is not a setting of this version and has no effect; "
            "did you mean TTS_MAX_WORKERS?",
        ),
        ("TTS_LOUDNESS", "TTS_LOUDNESS is not a setting of this version and has no effect"),
        (
            "SNAC_DEVICES",
            "SNAC_DEVICES is not a setting of this version and has no effect; "
            "did you mean SNAC_DEVICE?",
        ),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_typo_causes_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, name: str, expected: str
) -> None:
    """Only the environment was checked: a typo in `.env` was ignored silently."""
    if place == "environment":
        monkeypatch.setenv(name, "1")
    else:
        (tmp_path / ".env").write_text(f"{name}=1\n")
    assert warnings_for(load_settings()) == [expected]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PROT", "PORT"),
        ("HOTS", "HOST"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("API_KEY", "API_KEYS"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("ALLOW_UNAUTHENTICATE", "ALLOW_UNAUTHENTICATED"),
        ("ENABLE_METRIC", "ENABLE_METRICS"),
    ],
)
def test_a_typo_of_a_name_without_a_prefix(tmp_path: Path, name: str, meant: str) -> None:
    """Only names that start with TTS_, SNAC_ or LLM_ were checked: with API_KEY=secret nobody was
    told that the server had no keys.
    """
    (tmp_path / ".env").write_text(f"{name}=1\n")
    assert warnings_for(load_settings()) == [
        f"{name} is not a setting of this version and has no effect; did you mean {meant}?"
    ]


def test_names_of_other_programs_cause_no_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOSTNAME", "HOSTS_FILE", "HF_HOME", "LOGNAME", "OPENAI_API_KEY", "PROT"):
        monkeypatch.setenv(name, "1")
    (tmp_path / ".env").write_text("HF_HOME=/srv\nDATABASE_URL=x\nOPENAI_API_KEY=x\n")
    assert warnings_for(load_settings()) == []


def test_a_similar_name_is_no_typo_if_the_setting_is_there_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_KEY", "of another program")
    (tmp_path / ".env").write_text("API_KEYS=abcdefgh\n")
    assert warnings_for(load_settings()) == []


def test_a_folder_instead_of_the_file(tmp_path: Path) -> None:
    """Docker makes one if the file to mount is missing; the server ignored it silently."""
    (tmp_path / ".env").mkdir()
    assert warnings_for(load_settings()) == [
        f"{tmp_path / '.env'} is a folder, so no settings are read from it"
    ]


@pytest.mark.parametrize(("value", "num_warnings"), [("0", 1), ("1", 0), ("", 0)])
def test_a_warning_for_vllm_v0(
    monkeypatch: pytest.MonkeyPatch, value: str, num_warnings: int
) -> None:
    """Earlier servers needed VLLM_USE_V1=0, and their `.env` files still have it."""
    monkeypatch.setenv("VLLM_USE_V1", value)
    lines = warnings_for(load_settings())
    assert len(lines) == num_warnings
    assert all(line.startswith("VLLM_USE_V1=0 has no effect") for line in lines)


def test_a_warning_for_keys_with_unauthenticated_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "abcdefgh")
    monkeypatch.setenv("ALLOW_UNAUTHENTICATED", "true")
    assert warnings_for(load_settings()) == [
        "ALLOW_UNAUTHENTICATED=true has no effect: API_KEYS is set, a key is needed."
    ]
