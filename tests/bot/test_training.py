"""bot/training.py, with a stand-in for Rasa: the real thing is trained once, by tests/trained.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot import training
from bot.errors import TrainingFailed
from bot.settings import Settings

# Stands in for `python -m rasa train`: first on the path of the process that trains.
RASA = """
import os, sys, pathlib
argument = dict(zip(sys.argv, sys.argv[1:]))
{what}
"""
WRITES = "pathlib.Path(argument['--out'], argument['--fixed-model-name'] + '.tar.gz').write_text('model')"
FAILS = """
print('2026-11-22 ERROR rasa.engine.graph - Error running graph component.')
print('\\x1b[91mInvalidRule: ')
print('Contradicting rules found')
print('')
sys.exit(1)
"""


def a_project(root: Path, rasa: str = WRITES) -> Path:
    (root / "data" / "nlu").mkdir(parents=True)
    (root / "bot" / "nlu").mkdir(parents=True)
    (root / "rasa").mkdir()
    files = ("config.yml", "domain.yml", "data/nlu/topic.yml", "bot/nlu/own.py", "bot/places.py", "rasa/__init__.py")
    for name in files:
        (root / name).write_text(f"# {name}\n")
    (root / "rasa" / "__main__.py").write_text(RASA.format(what=rasa))
    return root


def settings_in(path: Path) -> Settings:
    return Settings(home=path / "home")


@pytest.mark.parametrize("name", ["config.yml", "domain.yml", "data/nlu/topic.yml", "bot/nlu/own.py"])
def test_any_change_of_content_asks_for_another_model(tmp_path: Path, name: str) -> None:
    root = a_project(tmp_path)
    before = training.fingerprint(root)
    assert training.fingerprint(root) == before
    (root / name).write_text("something else")
    assert training.fingerprint(root) != before


def test_a_file_for_readers_asks_for_none(tmp_path: Path) -> None:
    root = a_project(tmp_path)
    before = training.fingerprint(root)
    (root / "data" / "README.md").write_text("words")
    assert training.fingerprint(root) == before


def test_what_was_trained_is_found_again(tmp_path: Path) -> None:
    root, settings, said = a_project(tmp_path), settings_in(tmp_path), []
    assert training.trained_model(settings, root) is None
    model = training.train(settings, said.append, root)
    assert training.trained_model(settings, root) == model
    assert model.read_text() == "model"
    assert said[0].startswith("Training") and said[-1].startswith("Trained in")


def test_a_failure_says_why_in_one_line_and_where_the_rest_is(tmp_path: Path) -> None:
    root, settings = a_project(tmp_path, FAILS), settings_in(tmp_path)
    with pytest.raises(TrainingFailed) as failed:
        training.train(settings, lambda _: None, root)
    log = settings.home / "logs" / "training.log"
    assert str(failed.value) == (
        f"The bot could not be trained. (InvalidRule: Contradicting rules found; all of it in {log})"
    )
    assert training.trained_model(settings, root) is None
    assert list((settings.home / "models").iterdir()) == []


def test_a_training_that_makes_no_model_is_a_failure(tmp_path: Path) -> None:
    root, settings = a_project(tmp_path, "print('all fine')"), settings_in(tmp_path)
    with pytest.raises(TrainingFailed, match="made no model"):
        training.train(settings, lambda _: None, root)


def test_only_the_newest_few_models_are_kept(tmp_path: Path) -> None:
    root, settings = a_project(tmp_path), settings_in(tmp_path)
    models = settings.home / "models"
    models.mkdir(parents=True)
    for age in range(5):
        old = models / f"old{age}.tar.gz"
        old.write_text("old")
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    newest = training.train(settings, lambda _: None, root)
    assert {path.name for path in models.iterdir()} == {newest.name, "old0.tar.gz", "old1.tar.gz"}
