"""What Rasa says leaves as few messages as WhatsApp can show, and nothing of it is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import messages as says
from bot.messages import (
    AskNumber,
    AskPlace,
    Blank,
    Buttons,
    Card,
    Cards,
    Flow,
    Link,
    Media,
    Menu,
    Outbound,
    Place,
    Reaction,
    Reply,
    Template,
    Text,
)
from connectors.whatsapp import choices, payloads, speech
from tests.connectors.openapi import recorder
from tests.connectors.openapi.test_schema import body_of

PICTURE = Media("image", link="https://x.example/a.png")
A = Buttons("What next?", (Reply("/a", "A"),))


def some(*titles: str) -> list[dict[str, str]]:
    return [{"title": title, "payload": f"/{title.lower().replace(' ', '_')}"} for title in titles]


def numbered(n: int) -> list[dict[str, str]]:
    return some(*(f"Choice {i}" for i in range(n)))


def one(message: dict[str, Any]) -> Any:
    (content,) = speech.from_rasa(message)
    return content


# --- several utterances


def test_the_texts_of_a_turn_are_one_message() -> None:
    assert speech.merge([Text("Hello."), Text("We open at nine.")]) == [Text("Hello.\n\nWe open at nine.")]


@pytest.mark.parametrize(
    "content",
    [
        A,
        Menu("Which?", (Reply("/a", "A"),)),
        Link("Our shop", "Open", "https://x.example"),
        AskPlace("Where?"),
        AskNumber("Which?"),
        Flow("Fill in", "Open", "1"),
    ],
    ids=lambda content: type(content).__name__,
)
def test_a_text_before_or_behind_a_button_is_one_message_with_it(content: Any) -> None:
    (before,) = speech.merge([Text("Hello."), content])
    (behind,) = speech.merge([content, Text("Bye.")])
    assert before.text == f"Hello.\n\n{content.text}" and behind.text == f"{content.text}\n\nBye."
    assert type(before) is type(behind) is type(content)


def test_a_text_becomes_the_caption_of_a_picture() -> None:
    merged = speech.merge([Text("Look:"), PICTURE, Text("Nice?")])
    assert merged == [Media("image", link=PICTURE.link, caption="Look:\n\nNice?")]


@pytest.mark.parametrize(
    "order", [[Text("Hello."), PICTURE, A], [PICTURE, Text("Hello."), A], [Text("Hello."), A, PICTURE]]
)
def test_text_picture_and_buttons_are_one_message(order: list[Outbound]) -> None:
    assert speech.merge(order) == [Buttons("Hello.\n\nWhat next?", A.replies, picture=PICTURE)]


def test_a_picture_and_a_link_are_one_message() -> None:
    link = Link("Our shop", "Open", "https://x.example")
    assert speech.merge([PICTURE, link]) == [Link("Our shop", "Open", "https://x.example", picture=PICTURE)]


def test_a_header_that_would_stand_above_another_text_goes_into_the_text() -> None:
    (merged,) = speech.merge([Text("Hello."), Buttons("Well?", A.replies, header="Order 12")])
    assert merged == Buttons("Hello.\n\n*Order 12*\nWell?", A.replies)


@pytest.mark.parametrize(
    "apart",
    [
        [Text("x" * 3000), Text("y" * 3000)],
        [Text("x" * 1024), A],
        [A, Link("Our shop", "Open", "https://x.example")],
        [PICTURE, Menu("Which?", (Reply("/a", "A"),))],
        [Text("There:"), Place(51.5, 0.1)],
        [Text("Him:"), Cards((Card("Ann"),))],
        [Media("sticker", link="https://x.example/a.webp"), Text("!")],
        [Text("Listen"), Media("audio", link="https://x.example/a.mp3")],
        [Text("😀" * 1500), Text("😀" * 1500)],
    ],
)
def test_what_does_not_fit_together_stays_apart(apart: list[Outbound]) -> None:
    assert speech.merge(apart) == apart


def test_a_reaction_goes_first_and_keeps_nothing_apart() -> None:
    said = [Text("a"), Reaction("wamid.1", "👍"), Text("b"), Reaction("wamid.1", "❤")]
    assert speech.merge(said) == [Reaction("wamid.1", "❤"), Text("a\n\nb")]


@pytest.mark.parametrize("sentence", [Text("I did not get that."), A, PICTURE], ids=["text", "buttons", "picture"])
def test_what_the_bot_says_twice_in_a_row_is_heard_once(sentence: Outbound) -> None:
    assert speech.merge([sentence] * 10) == [sentence]


def test_what_the_bot_comes_back_to_is_said_again() -> None:
    said = [Text("Which order?"), Text("We open at nine."), Text("Which order?")]
    assert speech.merge(said) == [Text("Which order?\n\nWe open at nine.\n\nWhich order?")]


def test_a_long_text_whose_pieces_are_alike_is_no_repetition() -> None:
    (first, second) = speech.from_rasa({"text": "a" * 2 * speech.CUT_AT})
    assert speech.merge([first, second]) == [Text("a" * speech.CUT_AT)] * 2


# --- choices


def test_three_choices_are_buttons_four_to_ten_a_list() -> None:
    assert isinstance(one({"text": "?", "buttons": some("A", "B", "C")}), Buttons)
    assert isinstance(one({"text": "?", "buttons": some("A", "B", "C", "D")}), Menu)
    assert len(one({"text": "?", "buttons": numbered(10)}).replies) == 10


def test_quick_replies_are_choices_too() -> None:
    assert one({"text": "?", "quick_replies": some("A")}) == Buttons("?", (Reply("/a", "A"),))


@pytest.mark.parametrize("count", [11, 18, 19, 20, 27, 40])
def test_every_one_of_many_choices_can_be_reached_page_by_page(count: int) -> None:
    message = {"text": "Pick", "buttons": numbered(count)}
    said, reached, pages = [{"text": "something else"}, message], [], 0
    content = one(message)
    while True:
        pages += 1
        assert len(content.replies) <= 10
        *rows, last = content.replies
        reached += [row.title for row in (rows if last.title == choices.MORE else content.replies)]
        if last.title != choices.MORE:
            break
        found = speech.next_page(last.id, said)
        assert found is not None
        (content,) = found
    assert reached == [f"Choice {n}" for n in range(count)]
    assert pages == 1 + -(-(count - 10) // 9)


def test_more_is_looked_up_in_what_was_really_said() -> None:
    more = one({"text": "Pick", "buttons": numbered(12)}).replies[-1].id
    assert speech.next_page(more, [{"text": "Pick", "buttons": numbered(13)}]) is None, "choices have changed since"
    assert speech.next_page(more, []) is None
    assert speech.next_page("/choice_1", [{"buttons": numbered(12)}]) is None
    assert speech.next_page(more.replace('"from":9', '"from":99'), [{"buttons": numbered(12)}]) is None
    assert not speech.asks_for_more("/more_help") and speech.asks_for_more(more)


def test_a_title_too_long_for_a_button_is_whole_in_the_lists_second_line() -> None:
    title = "Where on earth is my order just now"
    (row,) = one({"text": "?", "buttons": some(title)}).replies
    assert row.title == "Where on earth is my…" and row.description == title


def test_a_title_too_long_for_that_as_well_is_whole_in_the_text() -> None:
    title = "I would like to know where on earth the order that I placed in spring is just now"
    menu = one({"text": "Well?", "buttons": some(title)})
    assert menu.text == f"Well?\n\n• {title}"


def test_a_second_line_of_the_writers_own_makes_a_list() -> None:
    menu = one({"text": "?", "buttons": [{"title": "London", "payload": "/l", "description": "9am–8pm"}]})
    assert menu == Menu("?", (Reply("/l", "London", "9am–8pm"),))


def test_titles_that_are_alike_are_told_apart() -> None:
    rows = [{"title": "Yes", "payload": "/yes"}, {"title": "Yes", "payload": "/really"}]
    assert [r.title for r in one({"text": "?", "buttons": rows}).replies] == ["Yes", "Yes (2)"]
    rows = some("My order of the 3rd of May 2026", "My order of the 3rd of June 2026")
    first, second = one({"text": "?", "buttons": rows}).replies
    assert (first.title, second.title) == ("My order of the 3rd of…", "My order of the 3rd… (2)")


@pytest.mark.parametrize("payload", ["/say", '/say{"a":1}'])
def test_one_payload_under_two_titles_stays_what_it_says(payload: str) -> None:
    rows = [{"title": title, "payload": payload} for title in ("A", "B", "C")]
    replies = one({"text": "?", "buttons": rows}).replies
    assert [reply.title for reply in replies] == ["A", "B", "C"]
    values = [choices.COMMAND.match(reply.id)["values"] or "{}" for reply in replies]  # type: ignore[index]
    assert len({reply.id for reply in replies}) == 3
    assert [json.loads(value) for value in values] == [json.loads(payload[4:] or "{}")] * 3


def test_the_same_choice_twice_is_one() -> None:
    assert one({"text": "?", "buttons": some("A", "A")}) == Buttons("?", (Reply("/a", "A"),))


def test_a_payload_too_long_for_an_id_is_never_cut() -> None:
    """A tap is then understood by its title, as if the contact had typed it; no other intent can come of it."""
    (reply,) = one({"text": "?", "buttons": [{"title": "Pay", "payload": '/pay{"order":"' + "1" * 200 + '"}'}]}).replies
    assert not reply.id.startswith("/") and reply.title == "Pay"


def test_a_payload_that_only_has_too_many_blanks_keeps_its_meaning() -> None:
    payload = '/pay{"order":' + " " * 200 + '"1"}'
    (reply,) = one({"text": "?", "buttons": [{"title": "Pay", "payload": payload}]}).replies
    assert reply.id == '/pay{"order":"1"}'


def test_choices_without_a_text_get_a_lead_in() -> None:
    assert one({"text": None, "buttons": some("A")}).text == speech.LEAD_IN


def test_a_link_among_choices_is_read_in_the_text() -> None:
    rows = [*some("A"), {"title": "Shop", "type": "web_url", "url": "https://x.example"}]
    assert one({"text": "?", "buttons": rows}) == Buttons("?\n\nShop: https://x.example", (Reply("/a", "A"),))


def test_the_end_of_a_long_text_stands_above_the_choices() -> None:
    first, last = "a" * 1000, "And now?"
    assert speech.from_rasa({"text": f"{first}\n\n{last}", "buttons": some("A")})[-1].text == f"{first}\n\n{last}"
    before, buttons = speech.from_rasa({"text": f"{first}a{'b' * 100}\n\n{last}", "buttons": some("A")})
    assert before == Text(f"{first}a{'b' * 100}") and buttons == Buttons(last, (Reply("/a", "A"),))


# --- what Rasa has no word for


@pytest.mark.parametrize(
    ("custom", "said"),
    [
        ({"link": {"title": "Open", "url": "https://x.example"}}, Link("Hi", "Open", "https://x.example")),
        ({"ask_place": True}, AskPlace("Hi")),
        ({"ask_number": True}, AskNumber("Hi")),
        ({"flow": {"button": "Open", "flow_id": 5, "screen": "A", "values": {"b": 1}}},
         Flow("Hi", "Open", "5", screen="A", values={"b": 1})),
        ({"media": {"kind": "document", "file": "a.pdf", "filename": "Terms.pdf"}},
         Media("document", file="a.pdf", filename="Terms.pdf", caption="Hi")),
        ({"header": "Order", "footer": "Fernhill"}, Text("*Order*\n\nHi\n\n_Fernhill_")),
        ({"unheard": {"of": "secret"}}, Text("Hi")),
        ({"silence": True, "introduced": True, "quote": True}, Text("Hi")),
    ],
)  # fmt: skip
def test_custom_says_what_rasa_has_no_word_for(custom: dict[str, Any], said: Outbound) -> None:
    assert speech.from_rasa({"text": "Hi", "custom": custom}) == [said]


def test_custom_that_stands_alone_follows_the_text() -> None:
    custom = {
        "place": {"latitude": "51.5", "longitude": -0.1, "name": "London"},
        "contacts": [{"name": "Ann", "phones": ["+44 1"]}],
        "template": {"name": "reopen", "language": "en", "blanks": {"who": "Mia"}},
        "react": "👍",
    }
    assert speech.from_rasa({"text": "Hi", "custom": custom}, "wamid.1") == [
        Reaction("wamid.1", "👍"),
        Text("Hi"),
        Place(51.5, -0.1, "London"),
        Cards((Card("Ann", phones=("+44 1",)),)),
        Template("reopen", "en", (Blank("Mia", "who"),), text="Mia"),
    ]


def test_a_reaction_to_nothing_is_not_said() -> None:
    assert speech.from_rasa({"text": "Hi", "custom": {"react": "👍"}}) == [Text("Hi")]


def test_header_and_footer_stand_around_choices() -> None:
    said = one({"text": "Hi", "buttons": some("A"), "custom": {"header": "**Order**", "footer": "x" * 61}})
    assert said == Buttons(f"Hi\n\n_{'x' * 61}_", (Reply("/a", "A"),), header="Order")


def test_a_link_with_too_long_a_title_has_it_in_the_text() -> None:
    said = one(
        {"text": "Hi", "custom": {"link": {"title": "Everything about our gardens", "url": "https://x.example"}}}
    )
    assert said == Link("Hi\n\nEverything about our gardens", "Everything about…", "https://x.example")


def test_an_address_that_is_none_is_read_in_the_text() -> None:
    assert one({"text": "Hi", "custom": {"link": {"title": "Shop", "url": "shop.example"}}}) == Text(
        "Hi\n\nShop: shop.example"
    )


@pytest.mark.parametrize(
    "custom",
    [
        *({name: odd} for name in ("link", "flow", "place", "media", "contacts", "template", "react", "header")
          for odd in (5, "secret", ["secret"], {"secret": {}}, {"kind": "image", "link": "file:///etc"}, [{}], True)),
        {"place": {"latitude": "nan", "longitude": 0}},
        {"place": {"latitude": 91, "longitude": 0}},
        {"contacts": [{"name": "A"}] * 6},
        {"media": {"kind": "audio", "link": "https://x.example", "caption": "c"}},
        {"media": {"kind": "image", "file": "../../etc/passwd"}},
        {"template": {"name": "No Such Name", "language": "en"}},
        "secret", ["secret"], 5,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_in_custom_costs_nothing_else(custom: Any) -> None:
    said = speech.from_rasa({"text": "Hi", "buttons": some("A"), "custom": custom})
    assert said and all(recorder.complaints(body_of(content)) == [] for content in said)
    assert any(isinstance(content, Buttons) for content in said) and "Hi" in said[0].text


def test_it_is_asked_whether_to_quote() -> None:
    assert speech.quotes({"custom": {"quote": True}})
    assert not any(speech.quotes(message) for message in ({}, {"custom": ["quote"]}, {"custom": {"quote": False}}))


def test_a_picture_that_is_no_link_costs_only_itself() -> None:
    assert speech.from_rasa({"text": "Hi", "image": "garden.png"}) == [Text("Hi")]


@pytest.mark.parametrize(
    ("attachment", "kind"),
    [
        ("https://x.example/a.pdf", "document"),
        ("https://x.example/a.MP4?b=c", "video"),
        ({"type": "audio", "payload": {"src": "https://x.example/a"}}, "audio"),
    ],
)
def test_an_attachment_is_a_file(attachment: Any, kind: str) -> None:
    (media,) = speech.from_rasa({"attachment": attachment})
    assert isinstance(media, Media) and media.kind == kind


def test_a_carousel_is_read_card_by_card() -> None:
    cards = [
        {"title": t, "subtitle": "nice", "image_url": f"https://x.example/{t}.png", "buttons": some(f"Buy {t}")}
        for t in "AB"
    ]
    first, second = speech.from_rasa({"elements": cards})
    assert first == Buttons(
        "*A*\nnice", (Reply("/buy_a", "Buy A"),), picture=Media("image", link="https://x.example/A.png")
    )
    assert isinstance(second, Buttons)


# --- long texts


def test_a_long_text_is_cut_at_a_paragraph_and_loses_no_word() -> None:
    paragraphs = [f"{n} " + "word " * 300 for n in range(5)]
    pieces = speech.split("\n\n".join(paragraphs))
    assert all(len(piece) <= 4096 for piece in pieces)
    assert " ".join(pieces).split() == " ".join(paragraphs).split()


def test_emoji_count_twice() -> None:
    assert [says.length(piece) for piece in speech.split("😀" * 4000)] == [4000, 4000]


# --- whatever is said

calmly = settings(deadline=None, derandomize=True)  # the same every time: a slow machine is no fault

WORDS = st.text(alphabet=st.sampled_from("ab \n*_~`#>|-[]()éß😀"), max_size=80)
LONG = st.builds(lambda words, times: words * times, WORDS, st.sampled_from([1, 1, 1, 20, 80]))
TITLES = st.text(alphabet="ab c😀é", min_size=1, max_size=90)
BUTTON = st.fixed_dictionaries(
    {"title": TITLES, "payload": st.sampled_from(["/a", "/b", '/a{"x": 1}', "", "/c" * 150, "say it", "/a"])}
)
MESSAGE = st.fixed_dictionaries(
    {
        "text": st.none() | LONG,
        "buttons": st.none() | st.lists(BUTTON, max_size=14),
        "image": st.none() | st.just("https://x.example/a.png"),
        "custom": st.none() | st.sampled_from([
            {}, {"link": {"title": "Open the shop", "url": "https://x.example"}}, {"ask_place": True},
            {"header": "h" * 61, "footer": "f"}, {"place": {"latitude": 1, "longitude": 2}}, {"react": "👍"},
        ]),
    }
)  # fmt: skip


def signs_of(content: Any) -> str:
    replies = "".join(f"{r.title}{r.description}" for r in getattr(content, "replies", ()))
    return f"{content.text}{replies}"


def test_what_is_said_twice_with_only_a_reaction_between_is_said_once() -> None:
    picture = says.Media("image", link="https://x.example/a.png")
    assert speech.merge([picture, says.Reaction("wamid.1", "👍"), picture]) == [says.Reaction("wamid.1", "👍"), picture]


@calmly
@given(st.lists(MESSAGE, max_size=4))
def test_whatever_is_said_is_valid_and_merging_never_adds_a_message(turn: list[dict[str, Any]]) -> None:
    apart = [content for message in turn for content in speech.from_rasa(message, "wamid.1")]
    merged = speech.merge(apart)
    assert len(merged) <= len(apart)
    assert speech.merge(merged) == merged
    for content in merged:
        assert recorder.OURS.is_valid(body_of(says.sendable(content))), payloads.render_content(content)


@calmly
@given(st.lists(st.text(alphabet="abcdé😀", min_size=1, max_size=1500), min_size=1, max_size=6), st.data())
def test_no_word_is_lost_but_what_is_said_twice_in_a_row_and_the_order_kept(
    texts: list[str], data: st.DataObject
) -> None:
    turn = [{"text": text, "buttons": data.draw(st.sampled_from([[], some("Yes")]))} for text in texts]
    merged = speech.merge([content for message in turn for content in speech.from_rasa(message)])
    shown = "".join(content.text for content in merged).replace(speech.LEAD_IN, "")
    heard = [
        message["text"]
        for before, message in zip([None, *turn], turn, strict=False)
        if message != before or says.length(message["text"]) > speech.SENTENCE_MAX
    ]
    assert "".join(shown.split()) == "".join(heard)


@calmly
@given(st.lists(BUTTON, min_size=1, max_size=10))
def test_every_title_can_be_read_and_every_payload_means_the_same(rows: list[dict[str, str]]) -> None:
    said = speech.from_rasa({"text": "?", "buttons": rows})
    shown = " ".join(" ".join(signs_of(content) for content in said).split())
    for row in rows:
        assert choices.plain(row["title"]) in shown
    for reply in getattr(said[-1], "replies", ()):
        command = choices.COMMAND.match(reply.id)
        if command:
            assert {"i": command["intent"], "v": json.loads(command["values"] or "{}")} in [
                {"i": found["intent"], "v": json.loads(found["values"] or "{}")}
                for row in rows
                if (found := choices.COMMAND.match(row["payload"]))
            ]
