"""Takes one of Baton's guarantees out, named by CHAOS_BREAK, in every process that has this folder on its path.

Only `make chaos BREAK=…` puts it there. Each sabotage replaces a function of ours as its module is imported, and fails
aloud where there is nothing to replace any more: a sabotage that does nothing would prove nothing.
"""

from __future__ import annotations

import dataclasses
import importlib.abc
import importlib.machinery
import os
import secrets
import sys
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any


def unique(inbox: ModuleType) -> None:
    """A delivery that comes again is taken for something new: neither the look-up nor the constraint sees it."""
    receive = inbox._receive

    def blind(tx: Any, updates: Any, *more: Any, **named: Any) -> Any:
        new = [dataclasses.replace(one, wamid=f"{one.wamid}#{secrets.token_hex(6)}") for one in updates]
        return receive(tx, new, *more, **named)

    inbox._receive = blind


def epoch(conversation: ModuleType) -> None:
    """The bot may always speak, whoever took over since."""
    _must_have(conversation, "may_bot_speak")
    conversation.may_bot_speak = lambda *_: True  # type: ignore[attr-defined]


def reconcile(outbox: ModuleType) -> None:
    """A send without an answer is queued again at once: nobody listens for a report."""
    settle = outbox.settle

    def hasty(tx: Any, message_id: int, outcome: Any, *more: Any, **named: Any) -> Any:
        if outcome.kind is outbox.Kind.UNHEARD:
            outcome = dataclasses.replace(outcome, kind=outbox.Kind.STOPPED, wait=timedelta(0))
        return settle(tx, message_id, outcome, *more, **named)

    outbox.settle = hasty


def lease(outbox: ModuleType) -> None:
    """What one sender has claimed, every other one may claim too."""
    claim_some = outbox.claim_some

    def shared(tx: Any, *more: Any, **named: Any) -> Any:
        claimed = claim_some(tx, *more, **named)
        theirs = outbox.messages.c.id.in_([one.id for one in claimed])
        tx.execute(outbox.sa.update(outbox.messages).where(theirs).values(status=outbox.Status.QUEUED))
        return claimed

    outbox.claim_some = shared


SABOTAGES: dict[str, tuple[str, Callable[[ModuleType], None]]] = {
    "unique": ("bot.ledger.inbox", unique),
    "epoch": ("bot.conversation", epoch),
    "reconcile": ("bot.ledger.outbox", reconcile),
    "lease": ("bot.ledger.outbox", lease),
}


def _must_have(module: ModuleType, name: str) -> None:
    if not hasattr(module, name):
        raise ImportError(f"the sabotage finds no {module.__name__}.{name}")


class _Saboteur(importlib.abc.MetaPathFinder):
    """Finds the one module as everybody would, and changes it once it is loaded."""

    def __init__(self, name: str, sabotage: Callable[[ModuleType], None]) -> None:
        self._name, self._sabotage = name, sabotage

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        """Return the module's spec with a loader that ends in sabotage."""
        if fullname != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.loader is not None
        load, sabotage = spec.loader.exec_module, self._sabotage

        def exec_module(module: ModuleType) -> None:
            load(module)
            sabotage(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if os.environ.get("CHAOS_BREAK"):
    sys.meta_path.insert(0, _Saboteur(*SABOTAGES[os.environ["CHAOS_BREAK"]]))
