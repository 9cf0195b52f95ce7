"""bot/content/catalogue.py, and every sentence there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.content.catalogue import Catalogue, Response
from bot.errors import BadContent
from bot.messages import AskPlace, Buttons, Link, Media, Menu, Outbound, Place, Reply, Text
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


SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{text: Look, image: 'https://x.example/a.png'}",
         Media("image", link="https://x.example/a.png", caption="Look")),
        ("{text: 'Hi {who}', custom: {link: {title: Our shop, url: 'https://shop.example/{who}'}, footer: f}}",
         Link("Hi Mia", "Our shop", f"{SHOP}/Mia", footer="f")),
        ("{text: Hi, image: 'https://x.example/a.png', custom: {link: {title: Our shop, url: 'https://shop.example'}}}",
         Link("Hi", "Our shop", SHOP, picture=Media("image", link="https://x.example/a.png"))),
        ("{text: Hi, image: 'https://x.example/a.png', buttons: [{title: A, payload: /a}], custom: {footer: f}}",
         Buttons("Hi", (Reply("/a", "A"),), footer="f", picture=Media("image", link="https://x.example/a.png"))),
        ("{text: Where to, custom: {ask_place: true}}", AskPlace("Where to")),
        ("{custom: {place: {latitude: 51.5, longitude: -0.1, name: '{who}'}}}", Place(51.5, -0.1, "Mia")),
        ("{text: Ours, custom: {media: {kind: document, file: terms.pdf}}}",
         Media("document", file="terms.pdf", caption="Ours")),
    ],
)  # fmt: skip
def test_a_response_can_be_more_than_words(tmp_path: Path, words: str, said: Outbound) -> None:
    catalogue = Catalogue.load(a_file(tmp_path, f"responses:\n  utter_a:\n  - {words}\n"))
    assert catalogue.say("utter_a", who="Mia") == said


@pytest.mark.parametrize(
    ("custom", "complaint"),
    [
        ("{lnik: {title: a}}", "nobody knows what lnik"),
        ("{link: {title: a}}", "link needs url"),
        ("{link: {title: a, url: shop}}", "begins with https"),
        ("{link: {title: this is longer than a button, url: 'https://x.example'}}", "longer than 20"),
        ("{link: {title: a, url: 'https://x.example'}, ask_place: true}", "can't be all of this: link, ask_place"),
        ("{place: {latitude: 1, longitude: 2}}", "no text of its own"),
        ("{place: {latitude: north, longitude: 2}}", "in degrees"),
        ("{footer: f}", "needs buttons"),
        ("{media: {kind: audio, file: a.mp3}}", "no text of its own"),
        ("{media: {file: a.mp3}}", "media needs kind"),
    ],
)
def test_what_a_response_cant_be_is_refused_with_its_file(tmp_path: Path, custom: str, complaint: str) -> None:
    catalogue = Catalogue.load(a_file(tmp_path, f"responses: {{utter_a: [{{text: a, custom: {custom}}}]}}"))
    with pytest.raises(BadContent, match=r"topic\.yml: utter_a") as refused:
        catalogue.say("utter_a")
    assert complaint in str(refused.value)


def test_markdown_in_a_response_is_whatsapps_and_in_a_value_only_words(tmp_path: Path) -> None:
    catalogue = Catalogue.load(a_file(tmp_path, "responses: {utter_a: [{text: '**Hello** {who}'}]}"))
    assert catalogue.say("utter_a", who="**Mia**") == Text("*Hello* **Mia**")


def test_values_are_filled_in_everywhere(tmp_path: Path) -> None:
    words = (
        "{text: a, image: 'https://x.example/{b}.png', buttons: [{title: 'To {b}', payload: '/go{\"to\": \"{b}\"}'}]}"
    )
    catalogue = Catalogue.load(a_file(tmp_path, f"responses:\n  utter_a:\n  - {words}\n"))
    assert catalogue.say("utter_a", b="London") == Buttons(
        "a", (Reply('/go{"to": "London"}', "To London"),), picture=Media("image", link="https://x.example/London.png")
    )
