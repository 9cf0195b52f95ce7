"""python -m connectors.whatsapp updates · unsent · templates · block · unblock: what did not get through, and more.

Each prints what became of things, never what people wrote; the exit codes are in EXIT_CODES.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot import clock
from bot.conversation import window_is_open
from bot.errors import BotError, WindowClosed
from bot.ledger import contacts, errands, inbox, outbox, transcript
from bot.ledger.outbox import Dead, Rest
from bot.ledger.transaction import Ledger, Transaction, has_tables
from bot.settings import Settings
from bot.updates import ContactRef
from bot.vocabulary import Author, Errand, UpdateState

DONE, REFUSED, SOMETHING_FAILED = 0, 1, 3
LISTED = 20
NAMED = 10  # ids in one sentence
ALL = 100_000  # more than anybody will ever have to see to
EXIT_CODES = """
exit codes:
  0  done, and nothing waits for you
  1  refused or broken; one sentence says why
  2  misspelt
  3  done, and something that failed waits for you: have it tried again, or set it aside
"""
WHERE_A_KEY_IS = """
CONVERSATION_KEY:
  the end of a conversation's address at the desk (/conversations/KEY), "conversation" in `unsent`, "key" in
  GET /api/v1/conversations. Or name the contact by their number: --phone 447700900123
"""
PERSONAL = "Below is what Meta sent, word for word: names, numbers and what people wrote. Don't paste it anywhere."


class Unknown(BotError):
    """There is nothing like that here."""


class NoDatabase(BotError):
    """There is no Baton database."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add our commands to the parser."""
    updates = _command(commands, "updates", "what Meta brought us, and what became of it", _updates)
    states = [_spaced(state) for state in UpdateState]
    updates.add_argument("--state", type=_spaced, choices=states, default=UpdateState.FAILED.value)
    updates.add_argument("--limit", type=_count, default=LISTED, help=f"how many of the newest; {LISTED} unless told")
    verbs = updates.add_subparsers(metavar="verb")
    _one_or_all(_command(verbs, "again", "have what failed read once more", _updates_again), "DELIVERY")
    _one_or_all(_command(verbs, "aside", "what failed need not be read: set it aside", _updates_aside), "DELIVERY")
    show = _command(verbs, "show", "one delivery, update by update", _updates_show)
    show.add_argument("delivery", type=_count, metavar="DELIVERY")
    show.add_argument("--raw", action="store_true", help="print the stored body: it holds personal data")

    unsent = _command(commands, "unsent", "what could not be sent, and why", _unsent)
    rests = [_spaced(rest) for rest in Rest]
    unsent.add_argument(
        "--state", type=_spaced, choices=rests, default=Rest.FAILED.value,
        help="what waits for you, what was set aside, or what a person has overtaken",
    )  # fmt: skip
    unsent.add_argument("--limit", type=_count, default=LISTED, help=f"how many of the newest; {LISTED} unless told")
    verbs = unsent.add_subparsers(metavar="verb")
    _one_or_all(_command(verbs, "again", "send it once more", _unsent_again), "ID")
    _one_or_all(_command(verbs, "aside", "it need not go out: set it aside", _unsent_aside), "ID")

    templates = _command(commands, "templates", "the account's templates", _templates)
    templates.add_argument("--refresh", action="store_true", help="have the sender read them from Meta now")
    for verb, blocks in (("block", True), ("unblock", False)):
        command = _command(
            commands, verb, f"{verb} a contact at Meta, for the number they wrote to", _block, also=WHERE_A_KEY_IS
        )
        whom = command.add_mutually_exclusive_group(required=True)
        whom.add_argument("key", nargs="?", metavar="CONVERSATION_KEY")
        whom.add_argument("--phone", type=_phone, help="the contact's number instead, with its country: 447700900123")
        command.set_defaults(blocks=blocks)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    run: Callable[[argparse.Namespace, Ledger], int],
    *,
    also: str = "",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=what, description=what, epilog=EXIT_CODES + also,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(run=run)
    return parser


def _one_or_all(parser: argparse.ArgumentParser, what: str) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", type=_count, metavar=what)
    which.add_argument("--all", action="store_true")


def run(asked: argparse.Namespace, settings: Settings) -> int:
    """Do one of these commands; return the exit status."""
    try:
        if not has_tables(settings.database_url):
            where = make_url(settings.database_url).render_as_string(hide_password=True)
            raise NoDatabase(f"(at {where}; see DATABASE_URL and BATON_HOME. `make migrate` would make one)")
        ledger = Ledger(settings.database_url)
        try:
            status: int = asked.run(asked, ledger)
        finally:
            ledger.close()
    except SQLAlchemyError as problem:
        why = " ".join(str(getattr(problem, "orig", None) or type(problem).__name__).split())
        sys.stderr.write(f"The database can't be used: {why}. See DATABASE_URL, or: python -m handoff migrate\n")
        return REFUSED
    return status


def _updates(asked: argparse.Namespace, ledger: Ledger) -> int:
    state = UpdateState(_word(asked.state))
    with ledger.reading() as tx:
        tally, lines = inbox.tally(tx), inbox.lines(tx, state, asked.limit)
    counts = [("received", tally.received), *((_spaced(each), n) for each, n in tally.by_state.items())]
    _say("   ".join(f"{name} {n}" for name, n in [*counts, ("open", tally.open)]))
    _say_lines(lines)
    failed = tally.by_state[UpdateState.FAILED]
    if failed:
        _say("", f"{failed} failed. Once mended: python -m connectors.whatsapp updates again --all; not needed: aside")
    return SOMETHING_FAILED if failed else DONE


def _say_lines(lines: list[inbox.Line]) -> None:
    if lines:
        _say("", f"{'delivery':>8}  {'no.':>3}  {'time (UTC)':<19}  {'state':<9}  kind · remark")
    for line in lines:
        tried = f"tried again {_time(line.tried_at)}" if line.tried_at else ""
        again = "asked to be read again" if line.again else tried
        remark = _one_line(" · ".join(filter(None, (line.kind, line.remark, again))))
        when, state = _time(line.received_at), _spaced(line.state)
        _say(f"{line.delivery_id:>8}  {line.n + 1:>3}  {when}  {state:<9}  {remark}")


def _updates_again(asked: argparse.Namespace, ledger: Ledger) -> int:
    with ledger.writing() as tx:
        found = inbox.ask_to_read_again(tx, asked.id)
    if found:
        _say(f"{_many(found, 'delivery')} asked for. The door reads what failed within seconds.")
        return DONE
    if asked.id is None:
        _say("Nothing failed, so there is nothing to read again.")
        return DONE
    raise Unknown(f"(delivery {asked.id}: we don't have it, or nothing in it failed)")


def _updates_aside(asked: argparse.Namespace, ledger: Ledger) -> int:
    with ledger.writing() as tx:
        found = inbox.set_aside(tx, asked.id)
    if found:
        _say(f"{_many(found, 'delivery')} set aside; still to be found: updates --state 'set aside'")
        return DONE
    if asked.id is None:
        _say("Nothing failed, so there is nothing to set aside.")
        return DONE
    raise Unknown(f"(delivery {asked.id}: we don't have it, or nothing in it waits for you)")


def _updates_show(asked: argparse.Namespace, ledger: Ledger) -> int:
    with ledger.reading() as tx:
        body = inbox.body_of(tx, asked.delivery)
        lines = inbox.lines(tx, limit=ALL, delivery_id=asked.delivery)
    if body is None:
        raise Unknown(f"(delivery {asked.delivery}; what was dealt with is forgotten after a while)")
    if asked.raw:
        sys.stderr.write(f"{PERSONAL}\n")
        _write(body + b"\n")
    else:
        what = f"{len(body)} bytes, {_many(len(lines), 'update')}"
        _say(f"Delivery {asked.delivery}: {what}. Its body, with personal data: --raw")
        _say_lines(lines[::-1])
    return SOMETHING_FAILED if any(line.state is UpdateState.FAILED for line in lines) else DONE


def _unsent(asked: argparse.Namespace, ledger: Ledger) -> int:
    rest = Rest(_word(asked.state))
    with ledger.reading() as tx:
        dead = outbox.dead_letters(tx, asked.limit, rest)
        waits = bool(outbox.dead_letters(tx, 1))
        windows = transcript.windows_of(tx, {one.key for one in dead})
    if not dead:
        _say("Everything got out." if rest is Rest.FAILED else "There are none.")
        return SOMETHING_FAILED if waits else DONE
    _say(f"{'id':>8}  {'time (UTC)':<19}  {'author':<7}  {'type':<10}  {'conversation':<24}  reason")
    for one in dead:
        code = f"({one.code})" if one.code and str(one.code) not in one.error else ""
        why = " ".join(filter(None, (one.error, code)))
        shut = "" if _may_go(one, windows, clock.now()) else " · the window is closed now"
        what = f"{one.id:>8}  {_time(one.at)}  {one.author.value:<7}  {one.type:<10}  {one.key:<24}"
        _say(f"{what}  {_one_line(why)}{shut}")
    if rest is Rest.FAILED:
        _say("", "Once more: python -m connectors.whatsapp unsent again ID, or --all; not needed: aside ID, or --all")
    return SOMETHING_FAILED if waits else DONE


def _unsent_again(asked: argparse.Namespace, ledger: Ledger) -> int:
    now = clock.now()
    with ledger.writing() as tx:
        return _send_again(tx, asked.id, now) if asked.id is not None else _send_all_again(tx, now)


def _send_again(tx: Transaction, message_id: int, now: datetime) -> int:
    conversation = transcript.conversation_of(tx, message_id)
    if conversation is None:
        raise Unknown(f"(message {message_id})")
    known = next((one for one in outbox.dead_letters(tx, ALL) if one.id == message_id), None)
    if known is not None and not _may_go(known, {conversation.key: conversation.window_ends}, now):
        raise WindowClosed
    again = outbox.send_again(tx, message_id, now)
    _say(f"Queued once more, as message {again}; the sender takes it within a second.")
    return DONE


def _send_all_again(tx: Transaction, now: datetime) -> int:
    dead, overtaken = outbox.dead_letters(tx, ALL), outbox.dead_letters(tx, ALL, Rest.OVERTAKEN)
    windows = transcript.windows_of(tx, {one.key for one in dead})
    able = [one for one in dead if _may_go(one, windows, now)]
    shut = [one for one in dead if one not in able]
    for one in reversed(able):  # as they were said
        outbox.send_again(tx, one.id, now)
    of = {author: sum(one.author is author for one in able) for author in (Author.BOT, Author.DESK, Author.AGENT)}
    whose = ", ".join(f"{number} of the {author.value}'s" for author, number in of.items() if number)
    _say(f"{len(able)} queued once more" + (f": {whose}." if whose else "."))
    if shut:
        _say(f"{len(shut)} left out, the window is closed: {_ids(shut)}")
    if overtaken:
        _say(f"{len(overtaken)} left out, a person has taken over since the bot said it: {_ids(overtaken)}")
    return SOMETHING_FAILED if shut else DONE


def _unsent_aside(asked: argparse.Namespace, ledger: Ledger) -> int:
    now = clock.now()
    with ledger.writing() as tx:
        if asked.id is not None and transcript.conversation_of(tx, asked.id) is None:
            raise Unknown(f"(message {asked.id})")
        which = [asked.id] if asked.id is not None else [one.id for one in outbox.dead_letters(tx, ALL)]
        for message_id in which:
            outbox.set_aside(tx, message_id, now)
    if which:
        _say(f"{_many(len(which), 'message')} set aside; still to be found: unsent --state 'set aside'")
    else:
        _say("Everything got out, so there is nothing to set aside.")
    return DONE


def _may_go(one: Dead, windows: dict[str, datetime | None], now: datetime) -> bool:
    """Say whether WhatsApp would take it at all; a template it always does."""
    return one.type == "template" or window_is_open(windows[one.key], now)


def _ids(dead: Sequence[Dead]) -> str:
    more = ["…"] if len(dead) > NAMED else []
    return ", ".join([str(one.id) for one in dead[:NAMED]] + more)


def _templates(asked: argparse.Namespace, ledger: Ledger) -> int:
    if asked.refresh:
        with ledger.writing() as tx:
            errands.ask(tx, Errand.TEMPLATES, "all", now=clock.now())
        _say(
            "Asked. A running sender that knows WHATSAPP_BUSINESS_ACCOUNT_ID reads them from Meta within seconds; look "
            "again then. One that doesn't know it leaves the list as it is. Should Meta refuse, an alarm says so."
        )
        return DONE
    with ledger.reading() as tx:
        found = errands.list_of_templates(tx)
    if not found:
        _say("No templates are known. They need WHATSAPP_BUSINESS_ACCOUNT_ID and a running sender; then: --refresh")
    for one in found:
        gaps = f"  gaps: {', '.join(one.gaps)}" if one.gaps else ""
        _say(f"{one.name} {one.language}  {one.status.lower()}  {one.category.lower()}{gaps}")
    return DONE


def _block(asked: argparse.Namespace, ledger: Ledger) -> int:
    with ledger.writing() as tx:
        keys = [transcript.conversation(tx, asked.key).key] if asked.phone is None else _keys_of(tx, asked.phone)
        for key in keys:
            errands.ask_to_block(tx, key, block=asked.blocks, now=clock.now())
    what = "block" if asked.blocks else "unblock"
    for key in keys:
        _say(f"Conversation {key}: the sender asks Meta to {what} them now. Should Meta refuse, an alarm says so.")
    return DONE


def _keys_of(tx: Transaction, phone: str) -> list[str]:
    """Return the conversations of who has this number; one for each of our own numbers they wrote to."""
    contact_id = contacts.find(tx, ContactRef(phone=phone, bsuid=None))
    keys = [] if contact_id is None else transcript.keys_with(tx, contact_id)
    if not keys:
        raise Unknown("(nobody with this number ever wrote to us; write it with its country, like 447700900123)")
    return keys


def _phone(words: str) -> str:
    """Read a phone number as people write it; the ledger has its digits."""
    digits = "".join(sign for sign in words if sign not in " +-.()")
    if not (digits.isascii() and digits.isdigit() and 5 <= len(digits) <= 20):
        raise argparse.ArgumentTypeError("that is no phone number; write it with its country, like 447700900123")
    return digits


def _count(words: str) -> int:
    """Read a positive number that a database can hold."""
    if not (words.isascii() and words.isdigit() and 0 < int(words) < 2**63):
        raise argparse.ArgumentTypeError(f"{words!r} is not a number from 1 on")
    return int(words)


def _spaced(word: str) -> str:
    """Return one of the ledger's words as people write it."""
    return str(getattr(word, "value", word)).replace("_", " ")


def _word(spaced: str) -> str:
    return spaced.replace(" ", "_")


def _many(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _one_line(words: str) -> str:
    """Return words fit for a terminal: remarks come from outside, and could move the cursor."""
    return "".join(sign if sign.isprintable() else " " for sign in words)


def _say(*lines: str) -> None:
    _write("".join(f"{line}\n" for line in lines))


def _write(words: str | bytes) -> None:
    """Write it, for as long as somebody reads: `| head` has seen enough, and that is no error."""
    try:
        if isinstance(words, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(words)
        else:
            sys.stdout.write(words)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
