"""Markdown leaves as WhatsApp's own marks, and nothing else changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.content.markup import markup, plain

TURNS_INTO = {
    "**bold**": "*bold*",
    "__bold__": "*bold*",
    "***both***": "*_both_*",
    "**bold and *italic***": "*bold and _italic_*",
    "**Hours:** 9 to 5": "*Hours:* 9 to 5",
    "~~gone~~": "~gone~",
    "**two\nlines**": "*two*\n*lines*",
    "in**side**word": "insideword",
    "# Title": "*Title*",
    "### **Title** of *it* ##": "*Title of it*",
    "Title\n=====\nwords": "*Title*\nwords",
    "[our shop](https://x.example)": "our shop: https://x.example",
    '[shop](https://x.example "hover")': "shop: https://x.example",
    "[https://x.example](https://x.example)": "https://x.example",
    "[a_b](https://x.example/a_(b)_c)": "a_b: https://x.example/a_(b)_c",
    "![garden](https://x.example/g.png)": "garden: https://x.example/g.png",
    "![](https://x.example/g.png)": "https://x.example/g.png",
    "[mail us](mailto:a@x.example)": "mail us: a@x.example",
    "<https://x.example/__a__>": "https://x.example/__a__",
    "**[shop](https://x.example)**": "*shop*: https://x.example",
    "_[shop](https://x.example)_": "_shop_: https://x.example",
    "**see https://x.example**": "*see* https://x.example",
    "* one\n+ two\n  * three\n- four": "- one\n- two\n  - three\n- four",
    "- [ ] to do\n- [x] done": "- ☐ to do\n- ☑ done",
    "1) one\n2. two": "1. one\n2. two",
    "> quoted\n>> twice": "> quoted\n> twice",
    "```python\na = **b**\n```": "```a = **b**```",
    "``a``": "`a`",
    "| Store | Opens |\n|---|:-:|\n| London | 9 |": "*Store | Opens*\nLondon | 9",
    "words\n\n***\n\nmore": "words\n\n———\n\nmore",
    r"\*not bold\*": "∗not bold∗",
    r"FH\_12": "FH_12",
    "one<br>two": "one\ntwo",
    "**a** and **b**": "*a* and *b*",
}
STAYS = [
    "*bold* _italic_ ~struck~ `code` ```much code```",
    "- one\n- two\n1. three\n> four",
    "https://x.example/a_b_c/*d*/__e__?f=**g**",
    "see https://x.example/a_b, and https://x.example/(c).",
    "2 * 3 * 4, 2 ** 3 ** 4, 2*3*4",
    "**never closed",
    "closed never__",
    "snake_case_name and __init__.py's __all",
    "a ~ b ~~ c",
    "`**code**` and ``` **more** ```",
    "[not a link] (https://x.example)",
    "[local](/page)",
    "#hashtag",
    "5 > 3",
    "a | b",
    "",
]


@pytest.mark.parametrize(("written", "shown"), TURNS_INTO.items())
def test_markdown_turns_into_whatsapps_marks(written: str, shown: str) -> None:
    assert markup(written) == shown


@pytest.mark.parametrize("shown", TURNS_INTO.values())
def test_what_is_whatsapps_already_stays(shown: str) -> None:
    assert markup(shown) == shown


@pytest.mark.parametrize("words", STAYS)
def test_what_is_no_markdown_stays(words: str) -> None:
    assert markup(words) == words


calmly = settings(deadline=None, derandomize=True)  # the same every time: a slow machine is no fault

MARKS = st.sampled_from(
    ["*", "**", "***", "_", "__", "~", "~~", "`", "```", "# ", "- ", "* ", "> ", "1) ", "|", "|---|", "[", "](", ")",
     "https://x.example/a_b*c", "\n", "\n\n", " ", "word", "Wort", "5", "!", ".", "\ue000", "\ue0011", "é", "😀"]
)  # fmt: skip
MARKDOWN = st.lists(MARKS, max_size=25).map("".join)


@calmly
@given(MARKDOWN)
def test_no_word_is_lost_whatever_the_marks(written: str) -> None:
    shown = markup(written)
    for word in ("word", "Wort", "5", "é", "😀"):
        assert shown.count(word) == written.count(word)


@calmly
@given(MARKDOWN)
def test_no_address_is_changed(written: str) -> None:
    address = "https://x.example/a_b*c"
    assert (address in markup(written)) == (address in written)


@calmly
@given(MARKDOWN.filter(lambda written: "\ue000" not in written))
def test_a_second_time_changes_nothing_for_a_reader(written: str) -> None:
    once = markup(written)
    assert markup(once).split() == once.split() or "`" in once or re.search(r"[*_~]{2}|\[|^#|\|", once, re.MULTILINE)


@calmly
@given(st.text(max_size=300))
def test_it_takes_anything(written: str) -> None:
    markup(written)
    assert "\n" not in plain(written)


@calmly
@given(st.text(alphabet=st.characters(whitelist_categories=["L", "N"]), max_size=200))
def test_plain_words_stay_as_they_are(written: str) -> None:
    assert markup(written) == written


def test_a_title_has_no_marks() -> None:
    assert plain("**Order** _12_\n`now`") == "Order 12 now"
