"""Markdown, which some answers are written in → WhatsApp's own marks. Pure.

WhatsApp shows *bold*, _italic_, ~struck~, `code`, ```code```, "- " and "1. " lists and "> " quotes; it knows no
headings, no tables and no words behind a link. A single star is its bold, so `*word*` stays as it is. What Markdown
escapes becomes a sign that looks the same and marks nothing, for WhatsApp knows no escaping.
"""

from __future__ import annotations

import re

_OPEN, _SHUT = "\ue000", "\ue001"  # around the number of what is held
TOKEN = f"{_OPEN}(?P<number>\\d+){_SHUT}"
FENCE = re.compile(r"^(?P<mark>```|~~~)[\w+#.-]*[ \t]*\n(?P<code>.*?)\n(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"```.+?```|(?<!`)(?P<ticks>`{1,2})(?!`)(?P<code>[^\n]+?)(?<!`)(?P=ticks)(?!`)", re.DOTALL)
ADDRESS = r"(?P<to>(?:https?://|mailto:|tel:)(?:[^\s()<>]|\([^\s()<>]*\))+)"
LINKED = re.compile(rf"!?\[(?P<words>[^\[\]\n]*)\]\(\s*<?{ADDRESS}>?(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\s*\)")
AUTOLINK = re.compile(rf"<{ADDRESS}>")
BARE = re.compile(r"https?://[^\s<>]+")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
LOOKS_LIKE = {"*": "∗", "_": "ˍ", "~": "∼", "`": "ˋ"}
RULE = re.compile(r"^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$")
UNDERLINE = re.compile(r"^ {0,3}(?:={3,}|-{3,}) *$")
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(?P<words>\S.*?)(?:[ \t]+#+)?$")
BULLET = re.compile(r"^(?P<indent>[ \t]*)[*+-][ \t]+(?:\[(?P<done>[ xX])\][ \t]+)?(?=\S)")
NUMBERED = re.compile(r"^(?P<indent>[ \t]*)(?P<n>\d{1,3})\)[ \t]+(?=\S)")
QUOTE = re.compile(r"^ {0,3}(?:> ?)+(?=[^>\s])")
TABLE = re.compile(r"^ {0,3}\|? *:?-+:? *(?:\| *:?-+:? *)*\|? *$")
WORDS = r"(?=\S)(?P<words>(?:(?!\n[ \t]*\n).)+?)(?<=\S)"  # within a paragraph
MARKED = [
    (re.compile(rf"\*\*\*(?!\*){WORDS}(?<!\*)\*\*\*(?!\*)", re.DOTALL), "*_"),
    (re.compile(r"\*\*(?!\*)(?=\S)(?P<words>[^\n]*?(?<![\w*])\*[^\s*][^\n*]*(?<=[^\s*])\*)\*\*(?!\*)"), "*"),
    (re.compile(rf"\*\*(?!\*){WORDS}(?<!\*)\*\*(?!\*)", re.DOTALL), "*"),
    (re.compile(rf"(?<![\w_])__(?!_){WORDS}(?<!_)__(?![\w_]|\.\w)", re.DOTALL), "*"),
    (re.compile(rf"~~(?!~){WORDS}(?<!~)~~(?!~)", re.DOTALL), "~"),
]
PAIR = re.compile(r"(?<![\w*_~`])(?P<mark>[*_~`])(?=\S)(?P<words>[^\n]*?(?<=\S))(?P=mark)(?![\w*_~`])")
GLUED = re.compile(
    rf"(?<![\w*_~])(?P<mark>[*_~])(?=\S)(?P<words>[^\n*_~]*?)(?P<rest>(?:: )?{TOKEN})(?P=mark)(?![\w*_~])"
)
STARS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^\n*]*?(?<=\S))\*(?![\w*])")


class _Held:
    """What must not be touched, taken out and put back."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def hold(self, words: str) -> str:
        self._words.append(self.release(words))
        return f"{_OPEN}{len(self._words) - 1}{_SHUT}"

    def release(self, text: str) -> str:
        return re.sub(TOKEN, lambda found: self._words[int(found["number"])], text)

    def hold_link(self, found: re.Match[str]) -> str:
        """WhatsApp knows no words behind a link: they stand before it."""
        words, address = found["words"].strip(), _shown(found["to"])
        held = self.hold(address)
        return held if words in {"", found["to"], address} else f"{words}: {held}"

    def hold_address(self, found: re.Match[str]) -> str:
        """Hold an address without the signs behind it that belong to the sentence."""
        address = found[0]
        while address[-1] in ".,;:!?'\"*~`|" or (address[-1] == ")" and address.count(")") > address.count("(")):
            address = address[:-1]
        return self.hold(address) + found[0][len(address) :]


def markup(text: str) -> str:
    """Return the text with WhatsApp's marks. Addresses and code stay as they are, and so do marks without a pair."""
    held = _Held()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(f"[{_OPEN}{_SHUT}]", lambda found: held.hold(found[0]), text)
    text = FENCE.sub(lambda found: held.hold(f"```{found['code']}```" if found["code"].strip() else found[0]), text)
    text = CODE.sub(lambda found: held.hold(f"`{found['code']}`" if found["ticks"] == "``" else found[0]), text)
    for _ in range(2):  # a picture may be what a link shows
        text = LINKED.sub(held.hold_link, text)
    text = AUTOLINK.sub(lambda found: held.hold(_shown(found["to"])), text)
    text = BARE.sub(held.hold_address, text)
    text = GLUED.sub(lambda found: _around(found["words"] + found["rest"], found["mark"]), text)
    text = ESCAPED.sub(lambda found: held.hold(_literal(found)), text)
    text = re.sub(r"<br ?/?>", "\n", text, flags=re.IGNORECASE)
    for marks, ours in MARKED:
        text = marks.sub(lambda found, ours=ours: _marked(found, ours), text)  # type: ignore[misc]
    return held.release("\n".join(_blocks(text.split("\n"))))


def plain(text: str) -> str:
    """Return the words in one line and without marks, for places that show none: titles, headers, footers."""
    words = " ".join(markup(text).split())
    for _ in range(3):
        words = PAIR.sub(lambda found: found["words"], words)
    return words


def _shown(to: str) -> str:
    return re.sub(r"^(mailto|tel):", "", to)


def _literal(found: re.Match[str]) -> str:
    """Return what was escaped as a sign that marks nothing; an order number's underscore does so as it is."""
    inside = re.match(r"\w\\_\w", found.string[max(found.start() - 1, 0) :])
    return "_" if inside else LOOKS_LIKE.get(found[1], found[1])


def _marked(found: re.Match[str], ours: str) -> str:
    """Put our marks around the words, line by line, for WhatsApp's marks end with the line."""
    text, words = found.string, found["words"]
    if ours == "*":
        words = STARS.sub(r"_\1_", words)
    before, after = text[: found.start()][-1:], text[found.end() :][:1]
    if re.match(r"\w", before) or re.match(r"\w", after):
        return words  # inside a word WhatsApp would show the marks themselves
    return "\n".join(_around(line, ours) for line in words.split("\n"))


def _around(line: str, marks: str) -> str:
    """Mark a line's words. An address at its end stays outside, or the mark would become part of it."""
    found = re.match(rf"(?P<lead>\s*)(?P<words>.*?)(?P<rest>(?::? ?{TOKEN})?\s*)$", line, re.DOTALL)
    if found is None or not found["words"]:
        return line
    return f"{found['lead']}{marks}{found['words']}{marks[::-1]}{found['rest']}"


def _blocks(lines: list[str]) -> list[str]:
    """Turn headings, lists, quotes, tables and rules into lines WhatsApp shows well."""
    shown: list[str] = []
    in_table = False
    for line in (line.rstrip(" \t") for line in lines):
        before = shown[-1] if shown else ""
        if in_table and "|" in line:
            shown.append(_cells(line))
        elif TABLE.match(line) and "|" in line and "|" in before:
            shown[-1], in_table = _heading(_cells(before)), True
            continue
        elif UNDERLINE.match(line) and before.strip() and not before.startswith(("- ", "> ", "*")):
            shown[-1] = _heading(before)
        elif RULE.match(line):
            shown.append("———")
        else:
            shown.append(_line(line))
        in_table = in_table and "|" in line
    return shown


def _line(line: str) -> str:
    heading = HEADING.match(line)
    if heading:
        return _heading(heading["words"])
    quoted = QUOTE.match(line)
    if quoted:
        return f"> {_line(line[quoted.end() :])}"
    bullet = BULLET.match(line)
    if bullet:
        box = {" ": "☐ ", "x": "☑ ", "X": "☑ "}.get(bullet["done"], "")
        return f"{bullet['indent']}- {box}{line[bullet.end() :]}"
    return NUMBERED.sub(lambda found: f"{found['indent']}{found['n']}. ", line)


def _heading(words: str) -> str:
    return _around(STARS.sub(r"\1", words.strip()), "*")


def _cells(line: str) -> str:
    return " | ".join(cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|"))
