from training.texts.sources import sources


def test_each_source_has_its_notice() -> None:
    notices = {source.name: source.notice for source in sources()}
    assert len(notices) == 2
    wordnet = notices["WordNet 3.0"]
    assert wordnet.startswith("This software and database is being provided to you")
    assert "Copyright 2006 by Princeton University" in wordnet
