"""Every answer of Meta's is sorted into what the sender can do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from bot.ledger.outbox import Kind
from bot.settings import ROOT
from connectors.whatsapp import errors
from connectors.whatsapp.errors import (
    MediaGone,
    NumberNeeded,
    Refused,
    Scope,
    SignedOut,
    TemplateGone,
    Throttled,
    Unreachable,
    UserStopped,
    WhatsAppError,
    WindowShut,
)
from connectors.whatsapp.sender import outcome_of

REFERENCE = ROOT.parent / "shared" / "docs" / "whatsapp-cloud-api.md"
# What the reference's letters ask for: R retry, P never as it is, T something else, A alarm and stop, U not this user.
KINDS_FOR = {
    "R": {Throttled},
    "P": {Refused, NumberNeeded, MediaGone, TemplateGone},
    "T": {WindowShut, TemplateGone},
    "A": {SignedOut},
    "U": {UserStopped},
}
IN_OTHER_WORDS = {131052: "R", 137000: "R", 131059: "P"}  # what the table says in a sentence, as a letter
NOT_ABOUT_SENDING = ("138xxx", "2388xxx")


def a_refusal(code: int, **more: object) -> WhatsAppError:
    return errors.error_of(400, {"error": {"code": code, "message": "words", **more}})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *[(code, Throttled) for code in (1, 2, 4, 80007, 130429, 131000, 131016, 131056, 131057, 133004, 137000)],
        *[(code, SignedOut) for code in (0, 3, 10, 190, 200, 299, 33, 368, 131005, 131031, 131042, 131048, 133010)],
        *[(code, Refused) for code in (100, 131008, 131009, 131026, 131051, 132000, 999999)],
        *[(code, TemplateGone) for code in (132001, 132015, 132016, 132068)],
        (131047, WindowShut),
        (131050, UserStopped),
        (131053, MediaGone),
        (131062, NumberNeeded),
    ],
)
def test_each_code_is_sorted(code: int, kind: type[WhatsAppError]) -> None:
    problem = a_refusal(code)
    assert type(problem) is kind and problem.code == code


def rows_of_the_reference() -> Iterator[tuple[int, str, str]]:
    """Yield code, letter and row of the table in the reference; nothing where it does not lie beside the project."""
    if not REFERENCE.exists():
        return
    table = REFERENCE.read_text().split("### 5.5 Error table")[1].split("\nTransport:")[0]
    for line in table.splitlines():
        cells = [cell.strip().replace("*", "") for cell in line.strip("|").split("|")]
        if len(cells) != 4 or cells[0] in {"Code", "---"} or cells[0].startswith(NOT_ABOUT_SENDING):
            continue
        codes, previous = re.sub(r"`[^`]*`|\([^)]*\)", "", cells[0]), ""
        for short, first, last in re.findall(r"(/)?(\d+)(?:–(\d+))?", codes):
            begin = previous[: -len(first)] + first if short else first  # 133005/6/8 are three codes
            previous = begin
            letter = re.match(r"[RPTAU]\b", cells[3])
            for code in range(int(begin), int(last or begin) + 1):
                yield code, letter[0] if letter else IN_OTHER_WORDS.get(code, "?"), line


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"no {REFERENCE}: the reference lies beside the project")
def test_every_code_of_the_reference_is_sorted_as_it_asks() -> None:
    rows = list(rows_of_the_reference())
    assert len({code for code, _, _ in rows}) > 170
    for code, letter, line in rows:
        if code in {131052, 131059}:  # about something the contact sent, about a list: nothing is sent again
            assert errors.KIND_OF[code] is Refused
        elif code in {139100, 139101, 139102, 139103}:
            assert errors.KIND_OF[code] is (Throttled if code > 139101 else Refused)
        elif code == 132069:  # letter T: buttons instead
            assert errors.KIND_OF[code] is TemplateGone
        else:
            assert errors.KIND_OF.get(code) in KINDS_FOR[letter], f"{code}: {line}"


def test_an_agent_reads_words_for_every_code_about_a_message() -> None:
    about_names_and_lists = {131055, 131059, *range(147001, 147006)}
    assert "permission" in str(a_refusal(0))
    for code in set(errors.KIND_OF) - about_names_and_lists - {0}:
        words = errors.in_words(code, "OAuthException")
        assert "OAuth" not in words and words.endswith(f"({code})"), code


def test_a_proxys_page_may_hide_an_accepted_message() -> None:
    assert isinstance(errors.error_of(502, None), Unreachable)
    assert isinstance(errors.error_of(500, {"error": "a string"}), Unreachable)


def test_an_unreadable_refusal_is_a_refusal() -> None:
    assert isinstance(errors.error_of(400, None), Refused)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 407])
def test_an_address_where_no_cloud_api_is_stops_the_sender_and_costs_no_message(status: int) -> None:
    assert isinstance(errors.error_of(status, None), SignedOut)


def test_an_unknown_code_may_go_again_only_if_meta_says_that_it_passes() -> None:
    assert type(a_refusal(999999, is_transient=True)) is Throttled
    assert type(a_refusal(999999, is_transient=False)) is Refused


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        (131056, Scope.CONTACT), (130429, Scope.NUMBER), (131057, Scope.NUMBER), (4, Scope.ACCOUNT),
        (80007, Scope.ACCOUNT), (131016, Scope.MESSAGE), (131000, Scope.MESSAGE),
    ],
)  # fmt: skip
def test_it_is_said_what_has_to_go_slower(code: int, scope: Scope) -> None:
    assert a_refusal(code).scope is scope


def test_faults_of_metas_own_are_not_tried_for_ever() -> None:
    assert [a_refusal(code).attempts_max for code in (1, 131000, 137000, 131056, 130429)] == [3, 3, 2, None, None]


USAGE = json.dumps({"1022": [{"type": "messages", "call_count": 99, "estimated_time_to_regain_access": 5}]})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30),
        ({"X-Business-Use-Case-Usage": USAGE}, 300),
        ({"Retry-After": "30", "X-Business-Use-Case-Usage": USAGE}, 300),
        ({"Retry-After": "400", "X-Business-Use-Case-Usage": USAGE}, 400),
        ({"Retry-After": "999999999"}, errors.WAIT_MAX_S),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"X-Business-Use-Case-Usage": "[]"}, None),
        ({"X-Business-Use-Case-Usage": '{"a": [{"estimated_time_to_regain_access": "x"}]}'}, None),
        ({"X-Business-Use-Case-Usage": '{"a": [{"estimated_time_to_regain_access": 1e999}]}'}, None),
        ({"X-Business-Use-Case-Usage": '{"a": [5]}'}, None),
        ({"X-Business-Use-Case-Usage": '{"a": 5}'}, None),
    ],
)
def test_how_long_meta_asks_us_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert errors.error_of(400, {"error": {"code": 80007, "message": ""}}, headers).retry_after_s == seconds


def test_a_date_to_come_back_at_is_read() -> None:
    at = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=100), usegmt=True)
    waits = errors.waiting_s({"Retry-After": at})
    assert waits is not None and 90 < waits <= 100


def test_a_wait_is_nothing_to_a_message_that_will_never_go() -> None:
    assert errors.error_of(400, {"error": {"code": 100, "message": ""}}, {"Retry-After": "30"}).retry_after_s is None


def test_what_meta_asks_for_only_in_its_documentation_is_kept_as_well() -> None:
    assert a_refusal(131057).retry_after_s == 60


def test_the_pair_limit_backs_off_as_meta_asks() -> None:
    waits = [outcome_of(Throttled("slow", 131056), attempt).wait.total_seconds() for attempt in (1, 2, 3, 4)]
    assert waits == [1, 4, 16, 64]


def test_an_unheard_send_is_never_simply_repeated() -> None:
    assert outcome_of(Unreachable("?"), 1).kind is Kind.UNHEARD
