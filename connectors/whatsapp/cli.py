"""python -m connectors.whatsapp updates · unsent · templates · block · unblock: what did not get through, and more.

0: done, and nothing waits for you. 1: refused or broken, with one sentence on standard error. 2: misspelt.
3: done, and something that failed waits for somebody.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from bot import clock
from bot.conversation import window_is_open
from bot.errors import BadSettings, BotError, WindowClosed
from bot.ledger import errands, inbox, outbox, transcript
from bot.ledger.transaction import Ledger, Transaction
from bot.settings import Settings
from bot.vocabulary import Errand, UpdateState

DONE, REFUSED, SOMETHING_FAILED = 0, 1, 3
LISTED = 20
PERSONAL = "Below is what Meta sent, word for word: names, numbers and what people wrote. Don't paste it anywhere."


class Unknown(BotError):
    """There is nothing like that here."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add our commands to the parser."""
    updates = commands.add_parser("updates", help="what Meta brought us, and what became of it")
    updates.add_argument("--state", choices=[state.value for state in UpdateState], default=UpdateState.FAILED.value)
    updates.add_argument("--limit", type=_count, default=LISTED, help=f"how many of the newest; {LISTED} unless told")
    updates.set_defaults(run=_updates)
    verbs = updates.add_subparsers(metavar="verb")
    again = verbs.add_parser("again", help="have what failed read once more")
    _one_or_all(again, "DELIVERY")
    again.set_defaults(run=_updates_again)
    show = verbs.add_parser("show", help="one delivery, update by update")
    show.add_argument("delivery", type=_count, metavar="DELIVERY")
    show.add_argument("--raw", action="store_true", help="print the stored body: it holds personal data")
    show.set_defaults(run=_updates_show)

    unsent = commands.add_parser("unsent", help="what could not be sent, and why")
    unsent.add_argument("--limit", type=_count, default=LISTED, help=f"how many of the newest; {LISTED} unless told")
    unsent.set_defaults(run=_unsent)
    again = unsent.add_subparsers(metavar="verb").add_parser("again", help="send it once more")
    _one_or_all(again, "ID")
    again.set_defaults(run=_unsent_again)

    templates = commands.add_parser("templates", help="the account's templates")
    templates.add_argument("--refresh", action="store_true", help="have the sender read them from Meta now")
    templates.set_defaults(run=_templates)
    for verb, blocks in (("block", True), ("unblock", False)):
        command = commands.add_parser(verb, help=f"{verb} a contact at Meta, for the number they wrote to")
        command.add_argument("key", metavar="CONVERSATION_KEY")
        command.set_defaults(run=_block, blocks=blocks)


def _one_or_all(parser: argparse.ArgumentParser, what: str) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", type=_count, metavar=what)
    which.add_argument("--all", action="store_true")


def run(asked: argparse.Namespace, settings: Settings) -> int:
    """Do one of these commands; return the exit status."""
    ledger = Ledger(settings.database_url)
    try:
        status: int = asked.run(asked, ledger, settings)
        return status
    except SQLAlchemyError as problem:
        why = " ".join(str(getattr(problem, "orig", None) or type(problem).__name__).split())
        sys.stderr.write(f"The database can't be used: {why}. See DATABASE_URL, or: python -m handoff migrate\n")
        return REFUSED
    finally:
        ledger.close()


def _updates(asked: argparse.Namespace, ledger: Ledger, _settings: Settings) -> int:
    state = UpdateState(asked.state)
    with ledger.reading() as tx:
        tally, lines = inbox.tally(tx), inbox.lines(tx, state, asked.limit)
    counts = [("received", tally.received), *((each.value, n) for each, n in tally.by_state.items())]
    _say("   ".join(f"{name} {n}" for name, n in [*counts, ("open", tally.open)]))
    _say_lines(lines)
    failed = tally.by_state[UpdateState.FAILED]
    if failed:
        _say("", f"{failed} failed. Once mended: python -m connectors.whatsapp updates again --all")
    return SOMETHING_FAILED if failed else DONE


def _say_lines(lines: list[inbox.Line]) -> None:
    if lines:
        _say("", f"{'delivery':>8}  {'n':>3}  {'time (UTC)':<19}  {'state':<8}  kind · remark")
    for line in lines:
        remark = " · ".join(filter(None, (line.kind, line.remark, "asked to be read again" if line.again else "")))
        _say(
            f"{line.delivery_id:>8}  {line.n:>3}  {_time(line.received_at)}  {line.state.value:<8}  {_one_line(remark)}"
        )


def _updates_again(asked: argparse.Namespace, ledger: Ledger, _settings: Settings) -> int:
    with ledger.writing() as tx:
        found = inbox.ask_to_read_again(tx, asked.id)
    if found:
        _say(
            f"{found} deliver{'y' if found == 1 else 'ies'} asked for. Rasa's process reads what failed within seconds."
        )
        return DONE
    if asked.id is None:
        _say("Nothing failed, so there is nothing to read again.")
        return DONE
    raise Unknown(f"(delivery {asked.id}: we don't have it, or nothing in it failed)")


def _updates_show(asked: argparse.Namespace, ledger: Ledger, _settings: Settings) -> int:
    with ledger.reading() as tx:
        body = inbox.body_of(tx, asked.delivery)
        lines = inbox.lines(tx, limit=100_000, delivery_id=asked.delivery)
    if body is None:
        raise Unknown(f"(delivery {asked.delivery}; what was dealt with is forgotten after a while)")
    if asked.raw:
        sys.stderr.write(f"{PERSONAL}\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(body + b"\n")
    else:
        _say(f"Delivery {asked.delivery}: {len(body)} bytes, {len(lines)} updates. Its body, with personal data: --raw")
        _say_lines(lines[::-1])
    return SOMETHING_FAILED if any(line.state is UpdateState.FAILED for line in lines) else DONE


def _unsent(asked: argparse.Namespace, ledger: Ledger, _settings: Settings) -> int:
    with ledger.reading() as tx:
        dead = outbox.dead_letters(tx, asked.limit)
        windows = transcript.windows_of(tx, {one.key for one in dead})
    if not dead:
        _say("Everything got out.")
        return DONE
    _say(f"{'id':>8}  {'time (UTC)':<19}  {'author':<7}  {'type':<10}  {'conversation':<24}  reason")
    for one in dead:
        why = " ".join(filter(None, (one.error, f"({one.code})" if one.code else "")))
        shut = "" if _may_go(one, windows, clock.now()) else " · the window is closed now"
        what = f"{one.id:>8}  {_time(one.at)}  {one.author.value:<7}  {one.type:<10}  {one.key:<24}"
        _say(f"{what}  {_one_line(why)}{shut}")
    _say("", "Once more: python -m connectors.whatsapp unsent again ID, or --all")
    return SOMETHING_FAILED


def _unsent_again(asked: argparse.Namespace, ledger: Ledger, _settings: Settings) -> int:
    now = clock.now()
    with ledger.writing() as tx:
        return _send_again(tx, asked.id, now) if asked.id is not None else _send_all_again(tx, now)


def _send_again(tx: Transaction, message_id: int, now: datetime) -> int:
    conversation = transcript.conversation_of(tx, message_id)
    if conversation is None:
        raise Unknown(f"(message {message_id})")
    known = next((one for one in outbox.dead_letters(tx, 100_000) if one.id == message_id), None)
    if known is not None and not _may_go(known, {conversation.key: conversation.window_ends}, now):
        raise WindowClosed
    again = outbox.send_again(tx, message_id, now)
    _say(f"Queued once more, as message {again}; the sender takes it within a second.")
    return DONE


def _send_all_again(tx: Transaction, now: datetime) -> int:
    dead = outbox.dead_letters(tx, 100_000)
    windows = transcript.windows_of(tx, {one.key for one in dead})
    able = [one for one in dead if _may_go(one, windows, now)]
    for one in reversed(able):  # as they were said
        outbox.send_again(tx, one.id, now)
    stay = len(dead) - len(able)
    _say(f"{len(able)} queued once more." + (f" {stay} stay: the window is closed." if stay else ""))
    return SOMETHING_FAILED if stay else DONE


def _may_go(one: outbox.Dead, windows: dict[str, datetime | None], now: datetime) -> bool:
    """Say whether WhatsApp would take it at all; a template it always does."""
    return one.type == "template" or window_is_open(windows[one.key], now)


def _templates(asked: argparse.Namespace, ledger: Ledger, settings: Settings) -> int:
    if asked.refresh:
        if not settings.whatsapp_business_account_id:
            raise BadSettings("(set WHATSAPP_BUSINESS_ACCOUNT_ID: without it nobody knows whose templates to read)")
        with ledger.writing() as tx:
            errands.ask(tx, Errand.TEMPLATES, "all", now=clock.now())
        _say("Asked. The sender reads them within seconds; look again then.")
        return DONE
    with ledger.reading() as tx:
        found = errands.list_of_templates(tx)
    if not found:
        _say("No templates are known. They need WHATSAPP_BUSINESS_ACCOUNT_ID and a running sender; then: --refresh")
    for one in found:
        gaps = f"  gaps: {', '.join(one.gaps)}" if one.gaps else ""
        _say(f"{one.name} {one.language}  {one.status.lower()}  {one.category.lower()}{gaps}")
    return DONE


def _block(asked: argparse.Namespace, ledger: Ledger, _settings: Settings) -> int:
    with ledger.writing() as tx:
        key = transcript.conversation(tx, asked.key).key
        errands.ask_to_block(tx, key, block=asked.blocks, now=clock.now())
    what = "block" if asked.blocks else "unblock"
    _say(f"The sender asks Meta to {what} them now. Should Meta refuse, an alarm says so.")
    return DONE


def _count(words: str) -> int:
    """Read a positive number that a database can hold."""
    if not (words.isascii() and words.isdigit() and 0 < int(words) < 2**63):
        raise argparse.ArgumentTypeError(f"{words!r} is not a number from 1 on")
    return int(words)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _one_line(words: str) -> str:
    """Return words fit for a terminal: remarks come from outside, and could move the cursor."""
    return "".join(sign if sign.isprintable() else " " for sign in words)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
