"""bot/content/catalogue.py, and every sentence there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.content.catalogue import Catalogue, Response
from bot.errors import BadContent
from bot.messages import Buttons, Menu, Reply, Text
from bot.settings import ROOT

FOLDER = ROOT / "data" / "responses"
CATALOGUE = Catalogue.load(FOLDER)
# As long as a value gets in real life, so that a sentence that fits here fits on WhatsApp.
LONG = {"items": "two raised beds, a bistro table and four folding chairs", "lines": "*London* 9am–8pm\n" * 12}


@pytest.mark.parametrize("response", CATALOGUE.responses.values(), ids=CATALOGUE.responses)
def test_every_sentence_fits_on_whatsapp(response: Response) -> None:
    values = {name: LONG.get(name, "Wolverhampton, Bournemouth and Edinburgh") for name in response.placeholders}
    said = CATALOGUE.say(response.name, **values)
    assert "{" not in said.text
    assert not said.text.startswith("/")
    # Up to two sentences of a turn become one message: choices leave room for an introduction above them.
    assert len(said.text) <= 700


@pytest.mark.parametrize("name", ["agent_joined", "handoff_finished", "turn_failed", "turn_failed_twice"])
def test_the_desk_finds_its_words(name: str) -> None:
    assert f"utter_{name}" in CATALOGUE.responses


def test_values_are_filled_in() -> None:
    assert CATALOGUE.say("utter_agent_joined", agent="Ann") == Text("Ann from Fernhill is with you now.")


def test_a_value_in_braces_is_only_text() -> None:
    assert CATALOGUE.say("utter_agent_joined", agent="{agent}").text.startswith("{agent} from")


def a_file(tmp_path: Path, words: str) -> Path:
    (tmp_path / "topic.yml").write_text(words)
    return tmp_path


def test_three_choices_are_buttons_and_four_a_menu(tmp_path: Path) -> None:
    choices = [f"{{title: T{n}, payload: /p{n}}}" for n in range(4)]
    three = f"utter_three: [{{text: a, buttons: [{', '.join(choices[:3])}]}}]"
    four = f"utter_four: [{{text: b, buttons: [{', '.join(choices)}]}}]"
    catalogue = Catalogue.load(a_file(tmp_path, f"responses:\n  {three}\n  {four}\n"))
    assert catalogue.say("utter_three") == Buttons("a", tuple(Reply(f"/p{n}", f"T{n}") for n in range(3)))
    assert catalogue.say("utter_four") == Menu("b", tuple(Reply(f"/p{n}", f"T{n}") for n in range(4)))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("responses: [", "topic.yml"),
        ("nlu: []", "no `responses:`"),
        ("responses: {utter_a: []}", "needs `- text:`"),
        ("responses: {utter_a: [{text: 5}]}", "needs `- text:`"),
        ("responses: {utter_a: [{text: a, buttons: [{title: b}]}]}", "a title and a payload"),
    ],
)
def test_a_file_that_cant_be_used_is_named(tmp_path: Path, words: str, complaint: str) -> None:
    with pytest.raises(BadContent, match=r"topic\.yml") as refused:
        Catalogue.load(a_file(tmp_path, words))
    assert complaint in str(refused.value)


def test_the_same_name_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("one.yml", "two.yml"):
        (tmp_path / name).write_text("responses: {utter_a: [{text: a}]}")
    with pytest.raises(BadContent, match=r"two.yml: utter_a is also in one.yml"):
        Catalogue.load(tmp_path)


def test_what_is_unknown_or_missing_is_refused_by_name() -> None:
    with pytest.raises(BadContent, match="utter_nothing"):
        CATALOGUE.say("utter_nothing")
    with pytest.raises(BadContent, match=r"desk.yml: utter_agent_joined needs a value for \{agent\}"):
        CATALOGUE.say("utter_agent_joined")


def test_a_button_too_long_for_whatsapp_is_refused_with_its_file(tmp_path: Path) -> None:
    words = "responses: {utter_a: [{text: a, buttons: [{title: this is longer than it may, payload: /b}]}]}"
    catalogue = Catalogue.load(a_file(tmp_path, words))
    with pytest.raises(BadContent, match=r"topic\.yml"):
        catalogue.say("utter_a")
