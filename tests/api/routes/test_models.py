"""Lists of models and voices, in the forms that clients expect."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orpheus_server.chat.echo import EchoModel
from orpheus_server.checkpoints.published import ENGLISH, find_published
from tests.support.app import FakeServer

ALIASES = ["orpheus", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"]
HUB_ID = "canopylabs/orpheus-3b-0.1-ft"


@pytest.fixture
def client() -> Iterator[TestClient]:
    with FakeServer().client() as client:
        yield client


@pytest.fixture
def english() -> Iterator[TestClient]:
    with FakeServer(ENGLISH).client() as client:
        yield client


def without_time(model: dict[str, object]) -> dict[str, object]:
    assert isinstance(model["created"], int)
    return {key: value for key, value in model.items() if key != "created"}


def model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "owned_by": "orpheus-server"}


class TestModels:
    @pytest.mark.parametrize("path", ["/v1/models", "/models"])
    def test_list(self, client: TestClient, path: str) -> None:
        body = client.get(path).json()
        assert [without_time(each) for each in body.pop("data")] == [
            model(name) for name in ["pocket", *ALIASES]
        ]
        assert body == {
            "object": "list",
            "llm": None,
            "tts": {
                "name": "pocket",
                "provider": "orpheus-server",
                "parameters": "2.7M",
                "license": "Apache-2.0",
                "license_url": "https://www.apache.org/licenses/LICENSE-2.0",
                "attribution": "Bundled small voice of Orpheus Server, trained on speech of "
                "Debian's flite",
                "capabilities": ["text-to-speech"],
                "voices": ["rms", "slt"],
                "loaded": True,
            },
        }

    @pytest.mark.parametrize("prefix", ["/v1", ""])
    def test_list_and_retrieve_agree(self, english: TestClient, prefix: str) -> None:
        """Kokoro-FastAPI lists gpt-4o-mini-tts but returns 404 for it."""
        listed = english.get(f"{prefix}/models").json()["data"]
        assert [each["id"] for each in listed] == ["orpheus-3b-0.1-ft", HUB_ID, *ALIASES]
        for each in listed:
            found = english.get(f"{prefix}/models/{each['id']}")
            assert (found.status_code, found.json()) == (200, each)

    @pytest.mark.parametrize("prefix", ["/v1", ""])
    def test_an_encoded_slash_in_the_id(self, english: TestClient, prefix: str) -> None:
        """The SDK percent-encodes the slash; a plain route parameter does not match it."""
        answer = english.get(f"{prefix}/models/{HUB_ID.replace('/', '%2F')}")
        assert answer.status_code == 200
        assert without_time(answer.json()) == model(HUB_ID)

    @pytest.mark.parametrize(
        "path",
        [
            *("/v1/models/", "//v1/models", "/models//", "/v1//models/", "///v1///models///"),
            *("/v1/models/?x=/", "//models"),
        ],
    )
    def test_the_list_with_more_slashes(self, client: TestClient, path: str) -> None:
        """Open WebUI and SillyTavern join a base URL that ends in a slash, and got 404."""
        answer = client.get(f"http://127.0.0.1{path}", follow_redirects=False)
        assert (answer.status_code, answer.json()) == (200, client.get("/v1/models").json())

    @pytest.mark.parametrize(
        "path",
        [
            *(
                "/v1/models/canopylabs%2Forpheus-3b-0.1-ft/",
                "/models//canopylabs%2forpheus-3b-0.1-ft",
            ),
            *(
                "//v1/models/canopylabs//orpheus-3b-0.1-ft/",
                "/v1/models/canopylabs/orpheus-3b-0.1-ft",
            ),
        ],
    )
    def test_a_model_with_more_slashes(self, english: TestClient, path: str) -> None:
        answer = english.get(f"http://127.0.0.1{path}")
        assert (answer.status_code, answer.json()["id"]) == (200, HUB_ID)

    @pytest.mark.parametrize(
        "name", ["canopylabs%2F%2Forpheus-3b-0.1-ft", "orpheus%2F", "%2Forpheus", "%2F"]
    )
    def test_an_encoded_slash_is_part_of_the_name(self, english: TestClient, name: str) -> None:
        answer = english.get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")

    @pytest.mark.parametrize("name", ["gpt-4", "someone%2Felse", "a/b/c", "Pocket"])
    def test_an_unknown_id(self, client: TestClient, name: str) -> None:
        answer = client.get(f"/v1/models/{name}")
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["type"], error["param"], error["code"]) == (
            "invalid_request_error",
            "model",
            "model_not_found",
        )
        assert "Known models: pocket, orpheus" in error["message"]

    @pytest.mark.parametrize("path", ["/v1/audio/models", "/audio/models"])
    def test_audio_models_have_two_keys(self, client: TestClient, path: str) -> None:
        """Open WebUI reads `models`, other clients read `data`."""
        body = client.get(path).json()
        assert list(body) == ["data", "models"]
        assert body["data"] == body["models"] == client.get("/v1/models").json()["data"]


class TestEnglishIds:
    """Clients have these ids and voices built in, such as LiveKit's for Groq."""

    @pytest.mark.parametrize("name", [HUB_ID, "canopylabs/orpheus-v1-english"])
    @pytest.mark.parametrize("voice", ["hannah", "troy", "alloy"])
    def test_accepted_and_not_listed(self, client: TestClient, name: str, voice: str) -> None:
        body = {"input": "Hi.", "model": name, "voice": voice}
        assert client.post("/v1/audio/speech", json=body).status_code == 200
        assert without_time(client.get(f"/v1/models/{name}").json()) == model(name)
        for path in ("/v1/models", "/v1/audio/models"):
            assert name not in [each["id"] for each in client.get(path).json()["data"]]
        assert "hannah" not in client.get("/v1/audio/voices").text

    @pytest.mark.parametrize("name", ["canopylabs/3b-fr-ft-research_release", "canopylabs/x"])
    def test_other_ids(self, client: TestClient, name: str) -> None:
        answer = client.post("/v1/audio/speech", json={"input": "Hi.", "model": name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")

    def test_on_a_checkpoint_of_another_language(self) -> None:
        french = find_published("canopylabs/3b-fr-ft-research_release")
        assert french is not None
        with FakeServer(french).client() as client:
            for field, value in (("model", HUB_ID), ("voice", "hannah")):
                answer = client.post("/v1/audio/speech", json={"input": "Salut.", field: value})
                assert answer.json()["error"]["param"] == field


class TestWithALanguageModel:
    """Its names are for chat only, and are listed only with a language model."""

    CHAT_ALIASES = (
        *("gpt-audio", "gpt-audio-mini", "gpt-4o-audio-preview", "gpt-4o-mini-audio-preview"),
    )

    @pytest.mark.parametrize("prefix", ["/v1", ""])
    def test_list_and_retrieve(self, prefix: str) -> None:
        with FakeServer(chat=EchoModel()).client() as client:
            body = client.get(f"{prefix}/models").json()
            listed = body["data"]
            for each in listed:
                found = client.get(f"{prefix}/models/{each['id']}")
                assert (found.status_code, found.json()) == (200, each)
        assert [each["id"] for each in listed] == [
            *("pocket", *ALIASES, "echo", *self.CHAT_ALIASES)
        ]
        assert body["llm"] == {
            "name": "echo",
            "provider": "orpheus-server",
            "parameters": "",
            "license": "Apache-2.0",
            "license_url": "https://www.apache.org/licenses/LICENSE-2.0",
            "attribution": "No model: it repeats the message",
            "capabilities": ["chat"],
            "voices": [],
            "loaded": True,
        }

    def test_while_it_loads(self) -> None:
        with FakeServer(chat=EchoModel(), is_loaded=False).client() as client:
            body = client.get("/v1/models").json()
        assert (body["llm"]["name"], body["llm"]["loaded"]) == ("echo", False)
        assert body["tts"]["loaded"] is False

    def test_it_is_not_a_speech_model(self) -> None:
        with FakeServer(chat=EchoModel()).client() as client:
            listed = client.get("/v1/audio/models").json()["data"]
            body = {"input": "Hi.", "model": "gpt-audio"}
            answer = client.post("/v1/audio/speech", json=body)
        assert [each["id"] for each in listed] == ["pocket", *ALIASES]
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


class TestVoices:
    @pytest.mark.parametrize("path", ["/v1/audio/voices", "/audio/voices"])
    def test_objects(self, client: TestClient, path: str) -> None:
        """Open WebUI falls back to six built-in names if a voice has no id or name."""
        rms, slt = client.get(path).json()["voices"]
        assert rms == {
            "id": "rms",
            "name": "rms",
            "language": "en-us",
            "description": "male, the clearer one",
            "aliases": [
                *("leo", "dan", "zac", "ash", "ballad", "echo", "fable", "onyx", "verse"),
                "cedar",
            ],
            "emotion_tags": [],
        }
        assert (slt["id"], slt["aliases"][:5]) == ("slt", ["tara", "leah", "jess", "mia", "zoe"])

    @pytest.mark.parametrize("query", ["legacy=true", "format=names", "legacy=1&format=objects"])
    @pytest.mark.parametrize("prefix", ["/v1", ""])
    def test_names(self, client: TestClient, prefix: str, query: str) -> None:
        """Kokoro-FastAPI broke clients that read strings when it switched to objects."""
        answer = client.get(f"{prefix}/audio/voices?{query}")
        assert answer.json() == {"voices": ["rms", "slt"]}

    def test_tags_of_the_english_voices(self, english: TestClient) -> None:
        voices = english.get("/v1/audio/voices").json()["voices"]
        names = [voice["name"] for voice in voices]
        assert names == ["tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe"]
        assert {tuple(voice["emotion_tags"]) for voice in voices} == {
            ("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "yawn")
        }

    @pytest.mark.parametrize(
        ("query", "param"), [("format=xml", "format"), ("legacy=perhaps", "legacy")]
    )
    def test_a_bad_query_is_not_a_content_type_error(
        self, client: TestClient, query: str, param: str
    ) -> None:
        """Every validation error without a JSON body had status 415."""
        answer = client.get(f"/v1/audio/voices?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param
        assert answer.json()["error"]["code"] == "invalid_value"
