from pathlib import Path

import pytest

from training.errors import TrainingError
from training.texts.wordnet import Synset, read_synsets, read_wordnet

from .small_wordnet import ADJECTIVES, EXAMPLES, NOUNS, synset_line, write_wordnet


def test_reads_common_words_and_examples(wordnet_dir: Path) -> None:
    wordnet = read_wordnet(wordnet_dir)
    assert wordnet.words["noun"] == NOUNS
    assert wordnet.words["adj"] == ADJECTIVES
    texts = [example.text for example in wordnet.examples]
    assert texts == [text for part in EXAMPLES.values() for text in part]
    assert {example.part for example in wordnet.examples} == {"noun", "verb", "adj", "adv"}


def test_drops_markers_of_adjectives_and_quotations_of_authors(tmp_path: Path) -> None:
    write_wordnet(tmp_path)
    gloss = 'most important; "the chief aim"; "the chief of sinners"- Somebody'
    (tmp_path / "data.adj").write_text(synset_line("adj", ["chief(a)", "Main"], gloss))
    assert list(read_synsets(tmp_path / "data.adj")) == [Synset(("chief", "Main"), f" {gloss}  ")]
    (tmp_path / "cntlist.rev").write_text("chief%5:00:00:important:00 1 3\nmain%3:00:00:: 1 9\n")
    wordnet = read_wordnet(tmp_path)
    assert wordnet.words["adj"] == ("chief",)
    assert [each.text for each in wordnet.examples if each.part == "adj"] == ["the chief aim"]


def test_a_missing_file_is_one_line_with_the_command(tmp_path: Path) -> None:
    write_wordnet(tmp_path)
    (tmp_path / "data.verb").unlink()
    with pytest.raises(TrainingError) as raised:
        read_wordnet(tmp_path)
    assert str(raised.value) == (
        f"WordNet is missing ({tmp_path}/data.verb): `apt-get install wordnet-base` brings it, "
        "or TRAINING_WORDNET_DIR names a folder that has it"
    )
