"""Every answer of Meta's is sorted into what the sender can do about it."""

from __future__ import annotations

import pytest

from bot.ledger.outbox import Kind
from connectors.whatsapp import errors
from connectors.whatsapp.errors import Refused, SignedOut, Throttled, Unreachable, WhatsAppError, WindowShut
from connectors.whatsapp.sender import outcome_of


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *[(code, Throttled) for code in (2, 4, 80007, 130429, 131000, 131016, 131048, 131056, 131057, 133004)],
        *[(code, SignedOut) for code in (0, 3, 10, 190, 200, 299, 33, 368, 131005, 131031, 131042, 133010)],
        *[(code, Refused) for code in (100, 131008, 131009, 131026, 131051, 131053, 132000, 999999)],
        (131047, WindowShut),
    ],
)
def test_each_code_is_sorted(code: int, kind: type[WhatsAppError]) -> None:
    problem = errors.error_of(400, {"error": {"code": code, "message": "words"}})
    assert type(problem) is kind and problem.code == code


def test_a_proxys_page_may_hide_an_accepted_message() -> None:
    assert isinstance(errors.error_of(502, None), Unreachable)
    assert isinstance(errors.error_of(500, {"error": "a string"}), Unreachable)


def test_an_unreadable_refusal_is_a_refusal() -> None:
    assert isinstance(errors.error_of(404, None), Refused)


def test_the_pair_limit_backs_off_as_meta_asks() -> None:
    waits = [outcome_of(Throttled("slow", 131056), attempt).wait.total_seconds() for attempt in (1, 2, 3, 4)]
    assert waits == [1, 4, 16, 64]


def test_an_unheard_send_is_never_simply_repeated() -> None:
    assert outcome_of(Unreachable("?"), 1).kind is Kind.UNHEARD
