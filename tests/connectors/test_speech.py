"""What Rasa says leaves as few messages as WhatsApp can show, and nothing of it is lost."""

from __future__ import annotations

from bot.messages import Buttons, Media, Menu, Reply, Text
from connectors.whatsapp import speech


def choices(*titles: str) -> list[dict[str, str]]:
    return [{"title": title, "payload": f"/{title.lower().replace(' ', '_')}"} for title in titles]


def test_the_texts_of_a_turn_are_one_message() -> None:
    assert speech.merge([Text("Hello."), Text("We open at nine.")]) == [Text("Hello.\n\nWe open at nine.")]


def test_a_text_before_choices_stands_above_them() -> None:
    buttons = Buttons("What next?", (Reply("/a", "A"),))
    assert speech.merge([Text("Hello."), buttons]) == [Buttons("Hello.\n\nWhat next?", (Reply("/a", "A"),))]


def test_a_text_becomes_the_caption_of_a_picture() -> None:
    merged = speech.merge([Text("Look:"), Media("image", link="https://x.example/a.png")])
    assert merged == [Media("image", link="https://x.example/a.png", caption="Look:")]


def test_what_does_not_fit_together_stays_apart() -> None:
    assert len(speech.merge([Text("x" * 3000), Text("y" * 3000)])) == 2
    assert len(speech.merge([Text("x" * 1024), Buttons("?", (Reply("/a", "A"),))])) == 2


def test_three_choices_are_buttons_four_are_a_list() -> None:
    assert isinstance(speech.from_rasa({"text": "?", "buttons": choices("A", "B", "C")})[0], Buttons)
    assert isinstance(speech.from_rasa({"text": "?", "buttons": choices("A", "B", "C", "D")})[0], Menu)


def test_a_title_too_long_for_a_button_is_whole_in_the_lists_second_line() -> None:
    title = "Where on earth is my order just now"
    (menu,) = speech.from_rasa({"text": "?", "buttons": choices(title)})
    assert isinstance(menu, Menu)
    assert menu.replies[0].description == title
    assert len(menu.replies[0].title) <= 24


def test_choices_without_a_text_get_a_lead_in() -> None:
    assert speech.from_rasa({"text": None, "buttons": choices("A")})[0].text == speech.LEAD_IN


def test_a_long_text_is_cut_at_a_paragraph_and_loses_no_word() -> None:
    paragraphs = [f"{n} " + "word " * 300 for n in range(5)]
    pieces = speech.split("\n\n".join(paragraphs))
    assert all(len(piece) <= 4096 for piece in pieces)
    assert " ".join(pieces).split() == " ".join(paragraphs).split()


def test_markdown_becomes_whatsapps_own_marks() -> None:
    assert speech.markup("**Hi** [shop](https://x.example)\n# Title") == "*Hi* shop: https://x.example\n*Title*"
