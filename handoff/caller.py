"""Tells other people's programs what happened: each hook at its own pace, in the order of each conversation, at least
once. It runs beside the watch; several may run at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError

from bot.clock import Clock
from bot.ledger import guests, hooks, transcript
from bot.ledger.hooks import Answered, Call, Hook
from bot.ledger.transaction import Ledger, Transaction
from bot.messages import Buttons, Menu
from handoff import shapes
from handoff.addresses import BadUrl, Forbidden, pools, require_url

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 0.5
HOOKS_AT_ONCE = 16  # one that answers slowly holds up no other
CALLS_AT_ONCE = 50  # of one hook, before the others are looked at again
WAIT_MAX = timedelta(hours=6)  # that a hook may ask for
KEPT_FOR = timedelta(days=30)  # what was delivered, or given up


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what proves that a call is ours: HMAC-SHA256 over the timestamp, a dot and the body."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Caller:
    """Calls hooks until it is told to stop."""

    def __init__(self, ledger: Ledger, now: Clock, *, private: bool = False) -> None:
        self._ledger = ledger
        self._now = now
        self._private = private
        self._pools = pools(HOOKS_AT_ONCE, private=private)
        self._stop = threading.Event()
        self._busy: set[int] = set()
        self._pool = ThreadPoolExecutor(HOOKS_AT_ONCE, thread_name_prefix="hook")
        self._pruned_at: datetime | None = None

    def start(self) -> None:
        """Call in a thread of its own."""
        threading.Thread(target=self.run, name="caller", daemon=True).start()

    def stop(self) -> None:
        """End soon; what is under way may be told once more."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run(self) -> None:
        """Look again and again."""
        while not self._stop.is_set():
            try:
                self._look()
            except Exception:  # a database may be away for a while; it is done again in a moment
                log.exception("hooks could not be looked after", extra={"action": "hooks_failed"})
            self._stop.wait(LOOKS_EVERY_S)

    def _look(self) -> None:
        now = self._now()
        with self._ledger.reading() as tx:
            due = hooks.due(tx, now)
        for hook_id in due:
            if hook_id not in self._busy and not self._stop.is_set():
                self._busy.add(hook_id)
                self._pool.submit(self._serve, hook_id)
        if self._pruned_at is None or now - self._pruned_at > timedelta(minutes=10):
            self._pruned_at = now
            with self._ledger.writing() as tx:
                hooks.prune(tx, now - KEPT_FOR)

    def _serve(self, hook_id: int) -> None:
        try:
            for _ in range(CALLS_AT_ONCE):
                if self._stop.is_set() or not self.call_one(hook_id):
                    return
        except Exception:
            log.exception("a hook could not be called", extra={"action": "hook_failed", "hook": hook_id})
        finally:
            self._busy.discard(hook_id)

    def call_one(self, hook_id: int) -> bool:
        """Make the next call of a hook; say whether there was one."""
        with self._ledger.writing() as tx:
            call = hooks.claim(tx, hook_id, self._now())
            if call is None:
                return False
            if guests.is_overtaken(tx, call, self._now()):
                return True
            hook, told = hooks.hook(tx, hook_id), happening(tx, call)
        answered = self._post(hook, call, json.dumps(told).encode())
        if not answered.took_it:
            extra = {"action": "call_failed", "hook": hook.id, "call": call.id, "attempt": call.attempts}
            log.info("a hook did not take a call: %s", answered.words, extra=extra)
        with self._ledger.writing() as tx:
            guests.settle(tx, call, answered, self._now())
        return True

    def _post(self, hook: Hook, call: Call, body: bytes) -> Answered:
        timestamp = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Baton",
            "Baton-Id": f"call-{call.id}",
            "Baton-Timestamp": timestamp,
            "Baton-Signature": signature(hook.secret, timestamp, body),
        }
        try:
            require_url(hook.url, private=self._private)
            answer = self._pools.request(
                "POST", hook.url, body=body, headers=headers, redirect=False, preload_content=False
            )
            answer.close()  # what it says does not matter, only how
        except (BadUrl, Forbidden) as problem:
            return Answered(None, str(problem))
        except (HTTPError, LocationParseError, OSError) as problem:
            return Answered(None, _why(problem))
        return Answered(answer.status, f"it answered {answer.status}", _wait(answer.headers.get("Retry-After")))


def _why(problem: Exception) -> str:
    """Say in a few words why there was no answer, without the address: what stands in it may be secret."""
    forbidden = next((one for one in problem.args if isinstance(one, Forbidden)), None)
    if forbidden is not None:
        return str(forbidden)
    match problem:
        case urllib3.exceptions.ConnectTimeoutError():
            return "nobody answered within 5 seconds"
        case urllib3.exceptions.TimeoutError():
            return "no answer within 10 seconds"
        case urllib3.exceptions.SSLError():
            return "its certificate is not good"
        case urllib3.exceptions.NameResolutionError():
            return "there is no such host"
        case urllib3.exceptions.NewConnectionError():
            return "the connection was refused"
        case _:
            return f"the line broke ({type(problem).__name__})"


def _wait(words: str | None) -> timedelta | None:
    """Return for how long a hook asks us to wait."""
    if words is None or not words.isascii() or not words.isdigit() or len(words) > 8:
        return None
    return min(timedelta(seconds=int(words)), WAIT_MAX)


def happening(tx: Transaction, call: Call) -> dict[str, Any]:
    """Return what a hook is told, as it stands now: what was taken back since is not told any more."""
    one = transcript.conversation_by_id(tx, call.conversation_id)
    own_id = guests.own_id_of(tx, call.conversation_id)
    told: dict[str, Any] = {
        "id": f"call-{call.id}",
        "type": call.kind.value,
        "at": shapes.moment(call.at),
        "conversation": {
            "key": one.key,
            "channel": one.channel or "whatsapp",
            "conversation_id": own_id,
            "name": one.contact.name,
        },
    }
    if call.message_id is not None:
        said = transcript.message(tx, call.message_id)
        if said is not None:
            told["message"] = shapes.message(said, transcript.quoted_by(tx, one.id, [said])) | _choices(said)
    if call.handoff_id is not None:
        told["handoff"] = {"id": str(call.handoff_id), **call.facts}
    return told


def _choices(said: transcript.Said) -> dict[str, Any]:
    """Return the buttons under a message, for a bot that has some of its own."""
    if not isinstance(said.content, (Buttons, Menu)):
        return {}
    return {"choices": [{"id": reply.id, "title": reply.title} for reply in said.content.replies]}
