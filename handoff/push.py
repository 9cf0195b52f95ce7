"""Browsers that are told when their agent has no desk open (Web Push): who, of what, by which key. The only writer of
subscriptions and push keys. What is told names nobody; it only says that somebody waits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from urllib.parse import urlsplit

import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from bot.errors import BotError
from bot.ledger import teams, transcript
from bot.ledger.tables import conversations, handoffs
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.vocabulary import Author, Holder, Role
from handoff import looks, members
from handoff.roles import MAY, Account, Deed
from handoff.tables import accounts
from handoff.tables_desk import mentions, push_keys, subscriptions

EVERY = timedelta(minutes=1)  # at most, to one browser
AGAIN_AFTER = timedelta(minutes=5)  # where the push service was away
MOST = 10  # browsers of one account
ENDPOINT_MAX = 2000
# Who may be asked to push: the services of the browsers there are. An agent's browser names the address that we will
# call, and a desk must not be made to call addresses inside its own network.
SERVICES = ("fcm.googleapis.com", ".push.services.mozilla.com", ".notify.windows.com", ".push.apple.com")


class BadBrowser(BotError):
    """This browser can't be told anything."""


class News(Enum):
    """What somebody who is away is told of."""

    WAITS = "Somebody waits in the queue."
    ANSWERS = "Somebody answered you."
    MENTION = "A colleague mentioned you in a note."


@dataclass(frozen=True)
class Key:
    """What says that it is us; url-safe base64."""

    private: str
    public: str


@dataclass(frozen=True)
class Browser:
    """Where a browser can be told something, and how it is sealed for it."""

    endpoint: str
    p256dh: str
    auth: str


@dataclass(frozen=True)
class Due:
    """A browser that is to be told something."""

    id: int
    browser: Browser
    news: tuple[News, ...]


def key(tx: Transaction, now: datetime) -> Key:
    """Return our key; it is made once, whoever asks first."""
    row = tx.execute(sa.select(push_keys)).first()
    if row is None:
        made = Vapid02()
        made.generate_keys()
        private = made.private_key.private_numbers().private_value.to_bytes(32, "big")
        public = made.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        insert_new(tx, push_keys, id=1, private=_base64(private), public=_base64(public), made_at=now)
        row = tx.execute(sa.select(push_keys)).one()
    return Key(row.private, row.public)


def contact(tx: Transaction) -> str:
    """Return whom a push service may write to if we push too much: the first admin, or who else there is."""
    admins = sa.case((accounts.c.role == Role.ADMIN, 0), else_=1)
    email = tx.execute(sa.select(accounts.c.email).order_by(admins, accounts.c.id).limit(1)).scalar()
    return f"mailto:{email or 'desk@localhost.localdomain'}"


def from_browser(browser: Browser) -> Browser:
    """Return it if it is what a browser of today says; refuse what we would have to call anywhere else."""
    address = urlsplit(browser.endpoint)
    known = any(address.hostname == name or (address.hostname or "").endswith(name) for name in SERVICES)
    if address.scheme != "https" or not known or address.port not in (None, 443):
        raise BadBrowser("(its push service is none we know; desktop notifications work while the desk is open)")
    if len(browser.endpoint) > ENDPOINT_MAX or _size(browser.p256dh) != 65 or _size(browser.auth) != 16:
        raise BadBrowser("(the keys it sent are no keys)")
    return browser


def subscribe(tx: Transaction, account: Account, browser: Browser, now: datetime) -> None:
    """Tell this browser from now on. Twice is as good as once; who signs in there next has it instead."""
    hashed = _hash(browser.endpoint)
    values = {"account_id": account.id, "p256dh": browser.p256dh, "auth": browser.auth, "not_before": None}
    here = subscriptions.c.endpoint_hash == hashed
    if tx.execute(sa.update(subscriptions).where(here).values(values)).rowcount:
        return
    mine = sa.select(subscriptions.c.id).where(subscriptions.c.account_id == account.id)
    older = tx.execute(mine.order_by(subscriptions.c.id.desc()).offset(MOST - 1)).scalars().all()
    tx.execute(sa.delete(subscriptions).where(subscriptions.c.id.in_(older)))
    insert_new(tx, subscriptions, endpoint_hash=hashed, endpoint=browser.endpoint, made_at=now, told_at=now, **values)


def unsubscribe(tx: Transaction, endpoint: str) -> None:
    """Tell this browser nothing any more. Twice is as good as once."""
    tx.execute(sa.delete(subscriptions).where(subscriptions.c.endpoint_hash == _hash(endpoint)))


def due(tx: Transaction, now: datetime) -> list[Due]:
    """Return which browsers are to be told something now: nobody whose desk is open, nothing twice, nobody at night."""
    rows = tx.execute(
        sa.select(subscriptions, accounts.c.role)
        .join(accounts, accounts.c.id == subscriptions.c.account_id)
        .where(accounts.c.disabled_at.is_(None), subscriptions.c.told_at <= now - EVERY)
        .where(sa.or_(subscriptions.c.not_before.is_(None), subscriptions.c.not_before <= now))
        .order_by(subscriptions.c.id)
    ).all()
    open_ = {team.id for team in teams.every(tx) if team.hours.opens(now) == now} if rows else set()
    if not open_:
        return []
    was_open = looks.desks_open_until(tx)
    away = [row for row in rows if was_open.get(row.account_id, now) <= now]
    nobodys = members.nobodys(tx)
    at_work = {row.account_id: (members.teams_of(tx, row.account_id) | nobodys) & open_ for row in away}
    happened = _happened(tx, {row.account_id: row.role for row in away if at_work[row.account_id]}, at_work)
    found = []
    for row in away:
        since = max(row.told_at, was_open.get(row.account_id, row.told_at))
        news = tuple(what for what, at in happened.get(row.account_id, {}).items() if at > since)
        if news:
            found.append(Due(row.id, Browser(row.endpoint, row.p256dh, row.auth), news))
    return found


def _happened(
    tx: Transaction, roles: dict[int, Role], team_ids: dict[int, frozenset[int]]
) -> dict[int, dict[News, datetime]]:
    """Return what last happened that concerns each of these accounts, and when; of the queue, in their open teams."""
    if not roles:
        return {}
    found: dict[int, dict[News, datetime]] = {one: {} for one in roles}
    since = sa.func.max(sa.func.coalesce(handoffs.c.promised_at, handoffs.c.asked_at))
    waiting = sa.select(handoffs.c.team_id, since.label("since")).join(
        conversations, conversations.c.id == handoffs.c.conversation_id
    )
    queued = waiting.where(conversations.c.holder == Holder.QUEUE, handoffs.c.closed_at.is_(None))
    waits = {row.team_id: row.since for row in tx.execute(queued.group_by(handoffs.c.team_id))}
    for account_id in _who_may(roles, Deed.SPEAK):
        theirs = [at for team_id, at in waits.items() if team_id in team_ids[account_id]]
        if theirs:
            found[account_id][News.WAITS] = max(theirs)
    for one in transcript.list_of(tx, Holder.AGENT, limit=transcript.EVERYTHING):
        if one.agent_id in found and one.last_author is Author.CONTACT:
            before = found[one.agent_id].get(News.ANSWERS, one.last_message_at)
            found[one.agent_id][News.ANSWERS] = max(before, one.last_message_at)
    told = sa.select(mentions.c.account_id, sa.func.max(mentions.c.at).label("at")).where(mentions.c.seen_at.is_(None))
    for row in tx.execute(told.where(mentions.c.account_id.in_(roles)).group_by(mentions.c.account_id)):
        found[row.account_id][News.MENTION] = row.at
    return found


def _who_may(roles: dict[int, Role], deed: Deed) -> Iterable[int]:
    return [one for one, role in roles.items() if deed in MAY[role]]


def told(tx: Transaction, one: Due, at: datetime) -> None:
    """Remember that it was told of what happened up to then."""
    tx.execute(sa.update(subscriptions).where(subscriptions.c.id == one.id).values(told_at=at, not_before=None))


def failed(tx: Transaction, one: Due, now: datetime) -> None:
    """Try it again later."""
    values = {"not_before": now + AGAIN_AFTER}
    tx.execute(sa.update(subscriptions).where(subscriptions.c.id == one.id).values(values))


def gone(tx: Transaction, one: Due) -> None:
    """Forget a browser that does not want to be told any more."""
    tx.execute(sa.delete(subscriptions).where(subscriptions.c.id == one.id))


def _hash(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _size(words: str) -> int:
    """Return how many bytes a base64 text holds; 0 if it is none."""
    try:
        return len(base64.urlsafe_b64decode(words + "=" * (-len(words) % 4)))
    except (binascii.Error, ValueError):
        return 0
