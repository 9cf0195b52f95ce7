"""What the desk says in words where the ledger has a word, a number or a moment. Pure."""

from __future__ import annotations

import json
import re
import secrets
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

from bot.conversation import window_is_open
from bot.evidence import Fact
from bot.ledger.handoffs import THE_PHONE
from bot.messages import GAP, is_web_address
from bot.timers import Running, Timer
from bot.vocabulary import Author, Clue, Csat, FileState, Holder, Outcome, Reason, Status, UpdateState
from handoff.endings import CHOICES
from handoff.snoozing import Until

BUSINESS = "Fernhill"

REASONS: dict[Reason, str] = {
    Reason.ASKED: "Asked for a person",
    Reason.NOT_UNDERSTOOD: "The bot didn't understand, twice",
    Reason.FRUSTRATED: "Is getting frustrated",
    Reason.SENSITIVE: "A sensitive matter",
    Reason.FORM_FAILED: "The bot's questions led nowhere",
    Reason.LANGUAGE: "Writes in a language the bot doesn't speak",
    Reason.BACKOFFICE_DOWN: "The order system didn't answer",
    Reason.SILENT: "The bot found no words",
    Reason.LOST: "The bot broke off twice",
    Reason.UNREADABLE: "Sent something the bot can't read",
    Reason.STEPPED_IN: "An agent stepped in",
    Reason.PHONE: "Answered from the phone",
    Reason.UNDELIVERED: "The bot's answer could not be delivered",
    Reason.FLOOD: "Wrote more than a person does",
    Reason.MACHINE: "Looks like another bot",
}

OUTCOMES: dict[Outcome, str] = {
    Outcome.GIVEN_BACK: "Given back to the bot",
    Outcome.CANCELLED: "The contact cancelled the request",
    Outcome.SOLVED: "Solved",
    Outcome.NOT_SOLVED: "Not solved",
    Outcome.ELSEWHERE: "Passed elsewhere",
    Outcome.NO_ANSWER: "No answer needed",
    Outcome.SPAM: "Spam",
    Outcome.IDLE: "Given back: nobody wrote any more",
}
ENDINGS = CHOICES  # in the order the form has them
CSATS: dict[Csat, str] = {Csat.GOOD: "good", Csat.SO_SO: "so-so", Csat.BAD: "bad"}
SNOOZES: dict[Until, str] = {
    Until.HOUR: "in 1 hour",
    Until.TOMORROW: "tomorrow, when we open",
    Until.REPLY: "only until the contact writes",
    Until.AT: "at another time …",
}
WOKE = "Snoozed until now"
NEW = "New messages"
UNANSWERED = "Waits for your answer"
WAS_YOURS = "Was yours, and got no answer"
GIVEN = "Given to you"

STATUSES: dict[Status, str] = {
    Status.QUEUED: "Waiting to be sent",
    Status.SENDING: "Being sent",
    Status.SENT: "Sent",
    Status.FAILED: "Not delivered",
    Status.DELIVERED: "Delivered",
    Status.READ: "Read",
    Status.PLAYED: "Played",
    Status.WITHDRAWN: "Never sent",
}

UPDATES: dict[UpdateState, str] = {
    UpdateState.HANDLED: "Handled",
    UpdateState.REPEATED: "Repeated",
    UpdateState.KEPT: "Kept",
    UpdateState.FAILED: "Failed",
    UpdateState.SET_ASIDE: "Set aside",
}

UPDATE_MEANINGS: dict[UpdateState, str] = {
    UpdateState.HANDLED: "understood and dealt with",
    UpdateState.REPEATED: "Meta told us again what we had",
    UpdateState.KEPT: "nothing to do, but written down",
    UpdateState.FAILED: "could not be read or written down; it is kept",
    UpdateState.SET_ASIDE: "failed, and somebody decided that it need not be read",
}

FROM_PHONE = "Somebody answers from the phone"

KINDS = {  # of messages, by our word or Meta's; what is in none of these three WhatsApp does not pass on
    "text": "Text",
    "buttons": "Buttons",
    "menu": "List",
    "link": "Link",
    "image": "Photo",
    "video": "Video",
    "audio": "Audio",
    "voice": "Voice note",
    "document": "Document",
    "sticker": "Sticker",
    "location": "Place",
    "tap": "Tapped",
    "button": "Tapped",
    "interactive": "Tapped",
    "reaction": "Reaction",
    "contacts": "Contact card",
    "order": "Order from the catalogue",
    "template": "Template",
    "ask_place": "Asks where they are",
    "ask_number": "Asks for their number",
    "flow": "Form to fill in",
    "answers": "Filled in a form",
    "nfm_reply": "Filled in a form",
    "request_welcome": "Opened the chat",
    "call_permission_reply": "Answered whether we may call",
    "media_too_large": "A file WhatsApp could not bring; ask for it again",
    "deleted": "A deleted message",
}

READABLE = {  # these say more than their kind, unless something is wrong with them
    "image", "video", "audio", "document", "sticker", "location", "contacts", "order", "reaction", "button",
    "interactive",
}  # fmt: skip

DOINGS = {  # in `unsupported`: what somebody did to an older message, and the like
    "edit": "Edited a message; WhatsApp does not say which",
    "revoke": "Deleted a message; WhatsApp does not say which",
    "reaction": "Reacted to a message; WhatsApp does not say which",
    "pin": "Pinned a message; WhatsApp does not say which",
    "unpin": "Unpinned a message; WhatsApp does not say which",
    "keep_in_chat": "Kept a message in the chat; WhatsApp does not say which",
    "poll_update": "Voted in a poll; WhatsApp does not say how",
    "event_response": "Answered an invitation; WhatsApp does not say how",
    "hsm": "An automatic message of another business; WhatsApp does not say what",
}

NOT_PASSED_ON = "Something WhatsApp does not pass on to us"
THINGS = {  # what is not passed on, where its own name is not plain
    "poll_creation": "a poll",
    "event": "an event",
    "event_creation": "an event",
    "ephemeral": "a message that disappears",
    "view_once": "something to be seen once",
    "group_invite": "an invitation to a group",
    "gif": "a GIF",
    "video_note": "a video note",
    "link_preview": "a link",
    "product": "a product",
    "list": "a list",
    "order": "an order",
    "button": "a button",
    "interactive": "buttons or a list",
    "image": "a photo",
    "location": "a place",
    "media_placeholder": "a photo, film or sound",
}
NAMELESS = {"", "unsupported", "unknown", "errors"}  # types that say nothing of what it was
CODES = {"unsupported", "call_permission_reply"}  # the text of these is a word of Meta's, nobody's own
MAY_CALL = {"accept": "Allows us to call", "reject": "Does not allow us to call"}

SHOWN = {  # the types of files browsers are given as what they are; anything else is only ever saved
    "image/jpeg", "image/png", "image/webp", "image/gif",
    "audio/ogg", "audio/mpeg", "audio/mp4", "audio/amr", "audio/aac",
    "video/mp4", "video/3gpp",
}  # fmt: skip
NOT_PLAYED = {"audio/amr"}  # by any browser of today; so it is offered for saving
UNKNOWN_FILE = "application/octet-stream"

NOT_FOR_EYES = {"requested_slot", "session_started_metadata"}  # Rasa's own slots


MARKS = {"*": Markup("<strong>{}</strong>"), "_": Markup("<em>{}</em>"), "~": Markup("<s>{}</s>")}  # ours
CODE = Markup("<code>{}</code>")
LINK = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>')
MARKED = re.compile(
    r"```(?P<block>.+?)```|`(?P<code>[^`\n]+)`|(?P<link>https?://[^\s<>\"]*[^\s<>\".,;:!?)'*_~])"
    r"|(?<![\w*_~])(?P<mark>[*_~])(?=\S)(?P<inner>[^\n]*?\S)(?P=mark)(?![\w*_~])",
    re.DOTALL,
)


def marked(text: str) -> Markup:
    """Show WhatsApp's *bold*, _italic_, ~strike~, `code` and links as the contact sees them; all else is escaped."""
    parts, end = [], 0
    for found in MARKED.finditer(text):
        parts += [escape(text[end : found.start()]), _mark(found)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _mark(found: re.Match[str]) -> Markup:
    if found["link"]:
        return LINK.format(found["link"])
    code = found["block"] or found["code"]
    return CODE.format(code) if code else MARKS[found["mark"]].format(marked(found["inner"]))


def at_gaps(text: str) -> list[tuple[Markup, str]]:
    """Cut a template's text at its gaps: what stands before each, as WhatsApp shows it, and the gap; the last is ""."""
    pieces, end = [], 0
    for gap in GAP.finditer(text):
        pieces.append((marked(text[end : gap.start()]), gap[1]))
        end = gap.end()
    return [*pieces, (marked(text[end:]), "")]


MENTION = Markup('<span class="mention">{}</span>')
MENTIONED = re.compile(r"(?<![\w@.])@[\w.+-]*\w")


def mentioned(text: str) -> Markup:
    """Show a note: as `marked`, with everybody in it who is meant by `@name`."""
    parts, end = [], 0
    for found in MENTIONED.finditer(text):
        parts += [marked(text[end : found.start()]), MENTION.format(found[0])]
        end = found.end()
    return Markup("").join([*parts, marked(text[end:])])


def values(**said: object) -> str:
    """Return what a page sends along with each request, as JSON; nothing of what is None."""
    return json.dumps({name: value for name, value in said.items() if value is not None})


def linked(address: str) -> Markup:
    """Show a web address as a link, anything else as the words it is."""
    return LINK.format(address) if is_web_address(address) else escape(address)


def unmarked(text: str) -> str:
    """Return a text without these marks, for one line of a list."""
    return str(marked(text).striptags())


def plainly(sentence: str) -> str:
    """Say an error's detail as a person would: "Too long. (at most 9)" becomes "Too long: at most 9."."""
    return re.sub(r"\. \((.+)\)$", r": \1.", sentence)


def kind(type_: str, text: str = "") -> str:
    """Name a message's type; of what WhatsApp does not pass on, `text` is Meta's word for what it was."""
    if type_ == "unsupported" and text in DOINGS:
        return DOINGS[text]
    if type_ == "call_permission_reply" and text in MAY_CALL:
        return MAY_CALL[text]
    if type_ in KINDS:
        return KINDS[type_]
    thing = text if type_ == "unsupported" else type_
    if thing in NAMELESS:
        return NOT_PASSED_ON
    return f"{NOT_PASSED_ON} ({THINGS.get(thing, thing.replace('_', ' '))})"


def unread(type_: str, text: str) -> str:
    """Name what reached us and could not be read as what it is: blanks, a photo without its file, a type unheard of."""
    if type_ == "text" and not text:
        return "An empty message"
    return f"{kind(type_)}, but it came unreadable" if type_ in READABLE and not text else kind(type_, text)


def own(type_: str, text: str) -> str:
    """Return what somebody wrote themselves of a message; no word of Meta's."""
    return "" if type_ in CODES else text


def gist(type_: str, text: str) -> str:
    """Say a message in one line: its own words, or what it is."""
    if type_ == "text" and not text.strip():
        return "[An empty or deleted message]"
    return own(type_, text) or f"[{kind(type_, text)}]"


def wish(text: str, filled: dict[str, Any]) -> str:
    """Return what the contact wants; for something without words the bot only kept its type, in brackets."""
    type_ = str(filled.get("media_kind") or "")
    return f"[{kind(type_)}]" if type_ and text == f"({type_})" else text


def size(number: int) -> str:
    """Say how large a file is."""
    if number < 1000:
        return f"{number} bytes"
    return f"{number / 1000:.0f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def not_there(state: FileState, error: str) -> str:
    """Say why a file can't be opened (yet)."""
    why = f": {error}" if error else ""
    match state:
        case FileState.FETCHED:
            return ""
        case FileState.WAITING:
            return f"Not here yet{why}. It is tried again by itself." if error else "Being fetched from WhatsApp …"
        case FileState.GONE:
            return f"It could not be fetched{why}. Ask for it to be sent again."
        case FileState.REFUSED:
            return f"It was not fetched{why}."


def doubt(announced: str, found: str) -> str:
    """Warn of a file that is not what it says it is."""
    is_other = found == UNKNOWN_FILE and announced not in ("", UNKNOWN_FILE)
    return "Careful: this is not the kind of file it says it is." if is_other else ""


def marks(origin: dict[str, Any]) -> list[str]:
    """Say how a message came about, where WhatsApp tells: forwarded, from an advertisement, about a product."""
    found = []
    if origin.get("forwarded_often"):
        found.append("Forwarded many times")
    elif origin.get("forwarded"):
        found.append("Forwarded")
    came = origin.get("referral")
    if isinstance(came, dict) and came:
        headline = str(came.get("headline") or came.get("body") or "").strip()[:120]
        source = "a post" if came.get("source_type") == "post" else "an advertisement"
        found.append(f"Came from {source}: {headline}" if headline else f"Came from {source}")
    product = origin.get("product")
    if isinstance(product, dict) and product.get("product_retailer_id"):
        found.append(f"About the product {str(product['product_retailer_id'])[:80]}")
    return found


def holder(who: Holder, name: str, mine: bool) -> str:
    """Say who holds a conversation."""
    match who:
        case Holder.BOT:
            return "The bot is answering"
        case Holder.QUEUE:
            return "Waiting for a person"
        case Holder.AGENT:
            return "You have it" if mine else FROM_PHONE if name == THE_PHONE else f"{name} has it"


def author(who: Author | None, name: str = "") -> str:
    """Say who wrote something."""
    match who:
        case Author.CONTACT | None:
            return name
        case Author.BOT:
            return "Bot"
        case Author.DESK:
            return "Desk"
        case Author.AGENT:
            return name or "Agent"


def phone(digits: str | None) -> str:
    """Set a phone number so that it can be read aloud."""
    if not digits:
        return "no number"
    for country, length in (("44", 12), ("1", 11)):  # those we know how to group; any other in one piece
        if digits.startswith(country) and len(digits) == length:
            own = digits[len(country) :]
            return f"+{country} {own[:-6]} {own[-6:]}" if country == "44" else f"+1 {own[:3]} {own[3:6]} {own[6:]}"
    return f"+{digits}"


def slots(filled: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the bot learned, fit to read; nothing that is empty or Rasa's own."""
    return [
        (name.replace("_", " ").capitalize(), kind(str(value)) if name == "media_kind" else _value(value))
        for name, value in filled.items()
        if value not in (None, "", [], False) and name not in NOT_FOR_EYES
    ]


def _value(value: Any) -> str:
    if value is True:
        return "yes"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def span(passed: timedelta) -> str:
    """Say how long something takes or took: now, 4 min, 2 h 5 min, 3 days."""
    minutes = max(0, int(passed.total_seconds()) // 60)
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes and hours < 6 else f"{hours} h"
    days = hours // 24
    return f"{days} day{'s' * (days > 1)}"


NO_MARKETING = "Does not want marketing messages"
OWN_CARD = "Shared their own number"


def on_channel(channel: str) -> str:
    """Say where a guest is, and that nothing closes there."""
    return f"On {channel}: no 24-hour window"


BLOCKED = "Blocked: WhatsApp delivers nothing either way"


def window(ends: datetime | None, now: datetime, *, refused: bool) -> str:
    """Say how long free text may still be sent; `refused` says that Meta has it closed, whatever we reckon."""
    if refused:
        return "Window closed, says WhatsApp"
    if not window_is_open(ends, now) or ends is None:
        return "Window closed: WhatsApp allows replies for 24 h after the contact's last message"
    left = span(ends - now)
    return "Window closes within a minute" if left == "now" else f"Window open for {left}"


def window_closes(ends: datetime, now: datetime) -> str:
    """Say how long somebody may still be answered, in a list."""
    left = span(ends - now)
    return "window closes now" if left == "now" else f"window closes in {left}"


def promised(due: datetime, now: datetime) -> str:
    """Say by when an answer was promised, or for how long that has been broken."""
    left = span(abs(due - now))
    if due <= now:
        return "promised by now" if left == "now" else f"{left} late"
    return "due within a minute" if left == "now" else f"due in {left}"


def zone(name: str | None) -> tzinfo:
    """Return the agent's zone as the browser names it, UTC where that is no zone we know."""
    try:
        return ZoneInfo(name) if name else timezone.utc
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return timezone.utc


def clock(at: datetime, tz: tzinfo) -> str:
    """Set a time of day."""
    return at.astimezone(tz).strftime("%H:%M")


def day(at: datetime, now: datetime, tz: tzinfo) -> str:
    """Name a day: Today, Yesterday, Monday 16 November, with the year when it isn't this one."""
    local, today = at.astimezone(tz), now.astimezone(tz)
    ago = (today.date() - local.date()).days
    if ago in (0, 1):
        return ("Today", "Yesterday")[ago]
    words = f"{local:%A} {local.day} {local:%B}"
    return words if local.year == today.year else f"{words} {local.year}"


def date(at: datetime, tz: tzinfo) -> str:
    """Set a day, with its year."""
    local = at.astimezone(tz)
    return f"{local.day} {local:%b %Y}"


def lookers(names: list[str], typing: list[str]) -> str:
    """Say who else looks at a conversation, and who writes a reply there."""
    looking = [name for name in names if name not in typing]
    said = [f"{_all(typing)} typing a reply…"] if typing else []
    return " · ".join([*said, *([f"{_all(looking)} looking"] if looking else [])])


def _all(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more are"
    return f"{', '.join(names[:-1])} and {names[-1]} are"


def when(at: datetime, now: datetime, tz: tzinfo) -> str:
    """Set a moment shortly, for lists: the time today, else the day."""
    local, today = at.astimezone(tz), now.astimezone(tz)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return "Yesterday" if (today.date() - local.date()).days == 1 else f"{local.day} {local:%b}"


SAID_BY = {
    "contact": "contacts",
    "bot": "the bot",
    "agent": "agents",
    "desk": "the desk itself",
    "note": "agents, in notes",
}
LISTS = (("queue", "the queue"), ("mine", "mine"), ("others", "my colleagues'"), ("bot", "the bot's"))


def when_said(at: datetime, now: datetime, tz: tzinfo) -> str:
    """Set a moment of any year: the time today, else the day, with the year when it isn't this one."""
    short, local = when(at, now, tz), at.astimezone(tz)
    return short if local.year == now.astimezone(tz).year else f"{local.day} {local:%b} {local.year}"


def moment(at: datetime, now: datetime, tz: tzinfo) -> str:
    """Set a moment with its day and its time: 14:05, Yesterday 14:05, 3 Nov 14:05; with the year when it isn't this."""
    local, today = at.astimezone(tz), now.astimezone(tz)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    day_ = "Yesterday" if (today.date() - local.date()).days == 1 else f"{local.day} {local:%b}"
    return f"{day_} {local:%H:%M}" if local.year == today.year else f"{day_} {local.year} {local:%H:%M}"


def fresh_key() -> str:
    """Return a key for the next thing written: the same one twice is one message."""
    return secrets.token_urlsafe(12)


def ended(outcome: Outcome | None, summary: str, csat: Csat | None) -> str:
    """Say in a line between messages how somebody's part ended, and how the contact found it."""
    said = OUTCOMES[outcome or Outcome.GIVEN_BACK]
    if outcome in CHOICES:
        said = f"Given back to the bot: {said.lower()}"
    said += f" · {summary}" if summary else ""
    return f"{said} · the contact found it {CSATS[csat]}" if csat is not None else said


def asleep(until: datetime, now: datetime, tz: tzinfo) -> str:
    """Say until when something is put aside."""
    local, today = until.astimezone(tz), now.astimezone(tz)
    day = "" if local.date() == today.date() else f"{local:%a} {local.day} {local:%b}, "
    return f"until {day}{local:%H:%M}"


def timer(one: Running, now: datetime) -> str:
    """Say by when something has to be done, or for how long that is over."""
    left = span(abs(one.due_at - now))
    what = "to be closed" if one.timer is Timer.CLOSE else "answer due"
    if now >= one.due_at:
        return f"{what} now" if left == "now" else f"{what}: {left} late"
    return f"{what} within a minute" if left == "now" else f"{what} in {left}"


def came_back(returns: int) -> str:
    """Say that somebody was given back and needs a person again."""
    return "Came back" if returns < 2 else f"Came back {returns} times"


def fact(one: Fact, said: str) -> str:
    """Say what speaks for a reason; `said` is what the contact wrote in that turn."""
    quoted = f"“{said}”" if said else "what they sent"
    sure = "" if one.score is None else f" {round(one.score * 100)} %"
    value = one.value.replace("_", " ")
    match one.clue:
        case Clue.SAID:
            return f"They wrote {quoted}{sure}"
        case Clue.MISSED:
            return f"Not understood: {quoted}" + (f" (perhaps {value}{sure})" if value else "")
        case Clue.FORM:
            return f"Form: {value}"
        case Clue.SLOT:
            return f"Could not fill: {value}"
        case Clue.CALL:
            return f"Asked for {one.value}"
        case Clue.KIND:
            return f"Sent: {kind(one.value).lower()}" if one.value else "Sent something"
        case Clue.SPOKEN:
            return f"Language: {one.value}{sure}"
