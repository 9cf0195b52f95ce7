"""Tells browsers whose agent is away that somebody waits. In a thread of its own beside the watch: a push service that
is slow or away delays no promise.
"""

from __future__ import annotations

import json
import logging
import threading

import requests
from py_vapid import Vapid02
from pywebpush import WebPushException, webpush

from bot.clock import Clock
from bot.ledger.transaction import Ledger
from handoff import push
from handoff.push import Due, Key

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 5.0
WITHIN_S = 10  # a push service has so long to answer
LASTS_S = 15 * 60  # what could not be delivered by then is old news
TITLE = "Somebody waits for you"
GONE = {404, 410}  # the browser has ended it, or was reinstalled


class Pushing:
    """Looks who is away and should know, until it is told to stop."""

    def __init__(self, ledger: Ledger, now: Clock) -> None:
        self._ledger = ledger
        self._now = now

    def run(self, stop: threading.Event) -> None:
        """Look again and again; whatever fails, look again."""
        while not stop.wait(LOOKS_EVERY_S):
            try:
                self.look()
            except Exception:
                log.exception("browsers could not be told", extra={"action": "push_broken"})

    def look(self) -> None:
        """Tell who is to be told, one after the other, with no transaction open meanwhile."""
        now = self._now()
        with self._ledger.reading() as tx:
            due = push.due(tx, now)
        if not due:
            return
        with self._ledger.writing() as tx:
            key, contact = push.key(tx, now), push.contact(tx)
        with requests.Session() as session:
            session.max_redirects = 0  # a push service answers itself
            for one in due:
                self._tell(one, key, contact, session)

    def _tell(self, one: Due, key: Key, contact: str, session: requests.Session) -> None:
        began = self._now()
        answer = send(one, key, contact, session)
        with self._ledger.writing() as tx:
            if answer is None:
                push.failed(tx, one, began)
            elif answer in GONE:
                push.gone(tx, one)
            else:
                push.told(tx, one, began)


def send(one: Due, key: Key, contact: str, session: requests.Session) -> int | None:
    """Tell one browser; return what its push service answered, None where that means *later*."""
    browser = one.browser
    try:
        webpush(
            {"endpoint": browser.endpoint, "keys": {"p256dh": browser.p256dh, "auth": browser.auth}},
            json.dumps({"title": TITLE, "body": " ".join(news.value for news in one.news)}),
            vapid_private_key=Vapid02.from_string(key.private),
            vapid_claims={"sub": contact},
            ttl=LASTS_S,
            headers={"Urgency": "high", "Topic": "waits"},
            timeout=WITHIN_S,
            requests_session=session,
        )
    except WebPushException as problem:
        status = problem.response.status_code if problem.response is not None else None
        log.info("a browser could not be told", extra={"action": "push_failed", "status": status})
        return status if status in GONE else None
    except (requests.RequestException, ValueError):
        log.info("a push service does not answer", extra={"action": "push_failed"})
        return None
    return 201
