"""How an agent's part of a conversation ends: what they say of it when they give it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import BadOutcome
from bot.messages import can_be_kept
from bot.vocabulary import Outcome

SUMMARY_MAX = 500
CHOICES = (Outcome.SOLVED, Outcome.NOT_SOLVED, Outcome.ELSEWHERE, Outcome.NO_ANSWER, Outcome.SPAM)  # in this order


@dataclass(frozen=True)
class Ending:
    """How it went, and what whoever comes next should know of it."""

    outcome: Outcome
    summary: str = ""


NOT_SAID = Ending(Outcome.GIVEN_BACK)


def read(said: Mapping[str, Any]) -> Ending:
    """Return what somebody filled in, or sent; refuse what can't be kept. All of it may be missing."""
    asked, summary = said.get("outcome") or Outcome.GIVEN_BACK.value, said.get("summary") or ""
    may_be = [one.value for one in (*CHOICES, Outcome.GIVEN_BACK)]
    if asked not in may_be:
        raise BadOutcome(f"({str(asked)[:40]!r} is none of {', '.join(may_be)})")
    if not isinstance(summary, str) or not can_be_kept(summary):
        raise BadOutcome("(the summary is text)")
    summary = " ".join(summary.split())
    if len(summary) > SUMMARY_MAX:
        raise BadOutcome(f"(the summary has at most {SUMMARY_MAX} characters)")
    return Ending(Outcome(asked), summary)
