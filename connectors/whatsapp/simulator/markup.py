"""WhatsApp's markup as HTML: *bold*, _italic_, ~strike~, ```mono```, lists, links. All else is escaped."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

INLINE = re.compile(
    r"```(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|(?P<link>https?://[^\s<>\"]+)"
    r"|(?<![\w*])\*(?P<strong>[^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"
    r"|(?<![\w_])_(?P<em>[^\s_](?:[^_\n]*[^\s_])?)_(?![\w_])"
    r"|(?<![\w~])~(?P<s>[^\s~](?:[^~\n]*[^\s~])?)~(?![\w~])",
    re.DOTALL,
)
LINES = ((re.compile(r"^> ?(.+)$"), "quoted"), (re.compile(r"^[-*] (.+)$"), "bullet"))
ELEMENTS = {kind: Markup(f"<{kind}>{{}}</{kind}>") for kind in ("strong", "em", "s")}  # noqa: S704 - our own words
FEW_EMOJI = 3


def to_html(text: str) -> Markup:
    """Return a text as the phone shows it."""
    if "```" in text:
        return _inline(text)
    return Markup("\n").join(_line(line) for line in text.split("\n"))


def _line(line: str) -> Markup:
    for pattern, name in LINES:
        found = pattern.match(line)
        if found:
            return Markup('<span class="{}">{}</span>').format(name, _inline(found[1]))
    return _inline(line)


def _inline(text: str) -> Markup:
    parts, end = [], 0
    for found in INLINE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(_element(str(found.lastgroup), str(found[str(found.lastgroup)])))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _element(kind: str, inner: str) -> Markup:
    if kind in ("pre", "code"):
        return Markup("<code>{}</code>").format(inner)
    if kind == "link":
        url = inner.rstrip(".,;:!?)'*_~")
        anchor = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(url)
        return anchor + inner[len(url) :]
    return ELEMENTS[kind].format(_inline(inner))


def to_plain(text: str) -> str:
    """Return a text without its markup, in one line."""
    return to_html(text).striptags()


def is_few_emoji(text: str) -> bool:
    """Say whether a text is nothing but one to three emoji, which WhatsApp draws big."""
    signs = [sign for sign in text if not sign.isspace()]
    drawn = [sign for sign in signs if unicodedata.category(sign) == "So"]
    joined = [sign for sign in signs if unicodedata.category(sign) in ("Cf", "Mn", "Sk")]
    return 0 < len(drawn) <= FEW_EMOJI and len(drawn) + len(joined) == len(signs)
