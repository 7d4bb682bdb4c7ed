"""The whole chain on two minutes of speech: real teacher, ear, `snac`, vLLM and server."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from training.evaluate.spoken import SpokenFolder
from training.files import read_json, write_json
from training.folder import TrainingFolder
from training.progress import HELD_OUT_TEXTS
from training.settings import ROOT, load_settings
from training.shards import read_info, shard_numbers, shard_path
from training.speech.worker import UTTERANCES_PER_FILE

pytestmark = pytest.mark.training

# The third of these texts is also spoken by the ninth speaker.
NUM_JUDGED = 3

# The first shard has about two minutes, and at least these.
ONE_SHARD_HOURS = str(1.5 / 60)

NINTH = {
    "name": "ivy",
    "style": {"af_heart": 0.5, "bf_emma": 0.5},
    "resample": 1.0,
    "pace": 1.0,
    "description": "female, a mixture of two styles",
    "language": "en-us",
}


@dataclass(frozen=True)
class Chain:
    """A finished run of the chain."""

    folder: TrainingFolder
    environment: dict[str, str]
    output: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", *arguments),
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    root = tmp_path_factory.mktemp("smoke")
    settings = load_settings()
    speakers = read_json(ROOT / "training" / "speech" / "speakers.json")
    speakers["speakers"].append(NINTH)
    write_json(root / "speakers.json", speakers)
    environment = {
        **os.environ,
        "TRAINING_DIR": str(root / "training"),
        "TRAINING_SPEAKERS": str(root / "speakers.json"),
        "TRAINING_STYLES_DIR": str(settings.styles_dir),
        "TRAINING_SPEECH_HOURS": ONE_SHARD_HOURS,
        "TRAINING_CODES_FROM_HOURS": ONE_SHARD_HOURS,
        "TRAINING_NUM_JUDGED": str(NUM_JUDGED),
        "TRAINING_MAX_ATTEMPTS": "1",
        "TRAINING_CODES_STEPS": "40",
        "TRAINING_DECODER_STEPS": "5",
        "TRAINING_LANGUAGE_MODEL_TOKENS": "20000",
        "TRAINING_COMPILE": "0",
        "PYTHONPATH": str(ROOT),
    }
    folder = TrainingFolder(root / "training")
    chain = Chain(folder, environment, "")
    done = chain.run("training")
    log = folder.root / "chain.log"
    assert done.returncode == 0, f"{done.stderr}\n{log.read_text() if log.is_file() else ''}"
    return Chain(folder, environment, done.stdout)


def test_all_stages_ran_in_their_order(chain: Chain) -> None:
    lines = [line.removeprefix("training: ") for line in chain.output.splitlines()]
    assert [line.removesuffix(" …") for line in lines if line.endswith(" …")] == [
        "texts --first 0 --count 0",
        "speech --held-out",
        "ear speakers",
        "texts --first 0 --count 1",
        "speech --first 0 --count 1",
        "codes",
        "tokens",
        "decoder",
        "language_model",
        "package",
        "evaluate",
        "package",
    ]
    assert lines[-1] == f"all budgets are used up: {chain.folder.voice}"


def test_a_finished_chain_has_nothing_to_do(chain: Chain) -> None:
    done = chain.run("training")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("training: all budgets are used up")
    status = chain.run("training.status").stdout
    assert "not running; next: nothing, all budgets are used up" in status


def test_every_shard_came_once_with_every_speaker(chain: Chain) -> None:
    assert shard_numbers(chain.folder.speech) == shard_numbers(chain.folder.tokens) == [0]
    spoken = read_info(shard_path(chain.folder.speech, 0))["utterances"]
    assert [each["number"] for each in spoken] == sorted({each["number"] for each in spoken})
    assert len({each["speaker"] for each in spoken}) == 9


def test_the_ninth_speaker_was_heard(chain: Chain) -> None:
    heard = read_json(chain.folder.root / "speakers_heard.json")["speakers"]
    # The teacher records whole files.
    texts = read_json(chain.folder.texts / HELD_OUT_TEXTS)["utterances"][:UTTERANCES_PER_FILE]
    assert set(heard) == {speaker for text in texts for speaker in text["speakers"]}
    assert heard[NINTH["name"]]["num_words"] > NUM_JUDGED


def test_transformers_loads_the_checkpoint(chain: Chain) -> None:
    code = (
        "import sys, torch, transformers\n"
        "model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "ids = tokenizer('ivy: h ɛ l ˈoʊ .', return_tensors='pt', add_special_tokens=False)\n"
        "print(model.generate(ids['input_ids'], max_new_tokens=7).shape[1])\n"
    )
    done = subprocess.run(
        (sys.executable, "-W", "ignore", "-c", code, str(chain.folder.voice)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # Six symbols of the text and the voice's name, none of them unknown, and seven tokens.
    assert 7 < int(done.stdout) <= 6 + 7


def test_the_evaluation_has_its_rows(chain: Chain) -> None:
    evaluation = json.loads(chain.folder.evaluation.read_text())
    assert evaluation["num_utterances"] == NUM_JUDGED


def test_the_server_spoke_with_the_ninth_voice(chain: Chain) -> None:
    (served,) = (chain.folder.root / "evaluation").glob("*/served-*")
    spoken = {entry.item.voice: samples for entry, samples in SpokenFolder(served).recordings()}
    # However badly it speaks after a minute of training, it is sound of some length.
    assert len(spoken[str(NINTH["name"])]) > 2048
