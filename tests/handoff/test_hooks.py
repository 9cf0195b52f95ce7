"""Programs of others are told what happens: signed, in order, at least once, whatever becomes of the line."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from bot.ledger import alarms, guests, hooks, outbox
from bot.ledger.hooks import Answered
from bot.ledger.tables_outside import calls
from bot.ledger.transaction import Ledger
from bot.vocabulary import Author, CallState, Happening, Role
from handoff.addresses import BadUrl, require_url
from handoff.caller import Caller
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Api, Clock, an_api, signed_in
from tests.handoff.test_guests import brought
from tests.parts import eventually


@dataclass
class Program:
    """A real HTTP server that answers as it is told, and remembers what it heard."""

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], int] = lambda _: 200
    also: dict[str, str] = field(default_factory=dict)
    connections: int = 0

    def types(self) -> list[str]:
        return [one["type"] for one in self.heard]


@pytest.fixture
def program() -> Iterator[Program]:
    made = Program()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.bodies.append(body)
            made.headers.append(dict(self.headers))
            made.heard.append(json.loads(body))
            status = made.answer(made.heard[-1])
            if status:
                self.send_response(status)
                for name, value in made.also.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/baton?secret=1"
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def bot(app: Flask, ledger: Ledger) -> Api:
    return an_api(app, ledger, "webchat@fernhill.example", Role.AGENT)


@pytest.fixture
def caller(ledger: Ledger, clock: Clock) -> Iterator[Caller]:
    made = Caller(ledger, clock)
    yield made
    made.stop()


def a_hook(ada: Api, url: str, *events: Happening, channel: str = "") -> dict[str, Any]:
    body = {"url": url, "events": [one.value for one in events or Happening]} | (
        {"channel": channel} if channel else {}
    )
    answer = ada.post("/hooks", body)
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def call_all(caller: Caller, hook: dict[str, Any]) -> int:
    count = 0
    while caller.call_one(int(hook["id"])):
        count += 1
    return count


def state_of(ada: Api, hook: dict[str, Any]) -> list[str]:
    return [one["state"] for one in reversed(ada.get(f"/hooks/{hook['id']}/calls").json)]


def test_a_bot_hears_the_whole_story_in_order_and_signed(
    ledger: Ledger, bot: Api, ann: Api, ada: Api, caller: Caller, program: Program
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    seeding.a_handoff(ledger, NOW)  # of WhatsApp: not its own
    told = brought(bot)
    key = told["conversation"]
    bot.post(f"/handoffs/{told['id']}/messages", {"id": "3", "text": "are you there?"})  # it knows what it said itself
    ann.post(f"/conversations/{key}/take")
    ann.post(f"/conversations/{key}/reply", {"text": "Hello Mia"}, key="r1")
    ann.post(f"/conversations/{key}/note", {"text": "nobody's business"})
    ann.post(f"/conversations/{key}/requeue")
    ann.post(f"/conversations/{key}/take")
    ann.post(f"/conversations/{key}/give_back")
    assert call_all(caller, hook) == 7, "one of them is a word of the desk's that a take has silenced: it is not told"
    assert program.types() == [
        "handoff.created", "handoff.taken", "message.created", "handoff.requeued", "handoff.taken", "handoff.closed",
    ]  # fmt: skip
    assert program.heard[1]["handoff"] == {"id": told["id"], "agent": "Ann"}
    assert (program.heard[2]["message"]["text"], program.heard[2]["message"]["agent"]) == ("Hello Mia", "Ann")
    assert program.heard[5]["handoff"] == {"id": told["id"], "outcome": "given_back"}
    assert {one["conversation"]["conversation_id"] for one in program.heard} == {"c-1"}
    assert len({one["id"] for one in program.heard}) == 6
    for headers, body in zip(program.headers, program.bodies, strict=True):
        signed = headers["Baton-Timestamp"].encode() + b"." + body
        expected = hmac.new(hook["secret"].encode(), signed, hashlib.sha256).hexdigest()
        assert headers["Baton-Signature"] == f"v1={expected}"
        assert headers["Baton-Id"] == json.loads(body)["id"]
    (replied,) = [one for one in ann.get(f"/conversations/{key}/messages").json if one["text"] == "Hello Mia"]
    assert replied["status"] == "delivered"


def test_a_hook_for_everybody_hears_whatsapp_too(ledger: Ledger, ada: Api, caller: Caller, program: Program) -> None:
    hook = a_hook(ada, program.url)
    seeding.a_handoff(ledger, NOW)
    call_all(caller, hook)
    said = [(one["message"]["author"], one["message"]["text"]) for one in program.heard if "message" in one]
    assert said[0] == ("contact", "hello") and said[-1][0] == "bot"
    assert "handoff.created" in program.types()
    assert {one["conversation"]["channel"] for one in program.heard} == {"whatsapp"}


def test_without_hooks_nothing_is_written_down(ledger: Ledger, bot: Api) -> None:
    brought(bot)
    with ledger.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(calls)).scalar() == 0


def test_what_did_not_happen_is_not_told(ledger: Ledger, bot: Api, ada: Api) -> None:
    hook = a_hook(ada, "https://bot.example/x")
    told = brought(bot)
    with pytest.raises(RuntimeError), ledger.writing() as tx:
        guests.cancel(tx, int(told["id"]), NOW)
        raise RuntimeError("the transaction fails")
    assert [one["type"] for one in ada.get(f"/hooks/{hook['id']}/calls").json] == ["handoff.created"]


def test_what_fails_is_told_again_later_and_later_and_in_order(
    bot: Api, ann: Api, ada: Api, caller: Caller, program: Program, clock: Clock
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    told = brought(bot)
    ann.post(f"/conversations/{told['conversation']}/take")
    program.answer = lambda _: 500
    for passed in (5, 15, 45, 135):
        assert call_all(caller, hook) == 1, "the second waits for the first"
        assert call_all(caller, hook) == 0
        clock.forward(seconds=passed - 0.5)
        assert call_all(caller, hook) == 0
        clock.forward(seconds=max(1.0, 60 - passed))
    program.answer = lambda _: 200
    clock.forward(hours=1)
    assert call_all(caller, hook) == 2
    assert program.types() == ["handoff.created"] * 5 + ["handoff.taken"]
    assert len({one["id"] for one in program.heard[:5]}) == 1, "a repetition is known by its id"


def test_one_conversation_that_is_refused_holds_up_no_other(
    bot: Api, ada: Api, caller: Caller, program: Program
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    program.answer = lambda told: 422 if told["conversation"]["conversation_id"] == "c-1" else 200
    brought(bot)
    brought(bot, conversation_id="c-2")
    assert call_all(caller, hook) == 2
    assert state_of(ada, hook) == ["waiting", "delivered"]


def test_a_program_that_asks_for_time_gets_it(
    bot: Api, ada: Api, caller: Caller, program: Program, clock: Clock
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    brought(bot)
    program.answer, program.also = lambda _: 429, {"Retry-After": "600"}
    call_all(caller, hook)
    clock.forward(seconds=599)
    assert call_all(caller, hook) == 0
    clock.forward(seconds=2)
    assert call_all(caller, hook) == 1


@pytest.mark.parametrize("how", ["down", "slow", "cut", "elsewhere"])
def test_no_answer_is_no_delivery(
    quick_app: Flask, quick_ledger: Ledger, program: Program, clock: Clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    bot = an_api(quick_app, quick_ledger, "webchat@fernhill.example", Role.AGENT)
    ada = an_api(quick_app, quick_ledger, "ada@fernhill.example", Role.ADMIN)
    caller = Caller(quick_ledger, clock)
    waits = threading.Event()
    url = program.url
    match how:
        case "down":
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
        case "slow":
            caller._pools.connection_pool_kw["timeout"] = 0.2
            program.answer = lambda _: 200 + 300 * waits.wait(5)
        case "cut":
            program.answer = lambda _: 0
        case "elsewhere":
            program.answer, program.also = lambda _: 302, {"Location": program.url}
    hook = a_hook(ada, url)
    brought(bot)
    assert caller.call_one(int(hook["id"]))
    waits.set()
    (one,) = ada.get(f"/hooks/{hook['id']}/calls").json
    assert (one["state"], one["attempts"]) == ("waiting", 1)
    assert one["answer"] and "secret" not in one["answer"]
    assert len(program.heard) <= 1, "a redirect is not followed"
    caller.stop()


def test_who_dies_between_the_call_and_writing_it_down_is_followed_by_another_call(
    ledger: Ledger, bot: Api, ada: Api, caller: Caller, program: Program, clock: Clock
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    brought(bot)
    with ledger.writing() as tx:
        dead = hooks.claim(tx, int(hook["id"]), NOW)  # and then it dies
    assert dead is not None
    assert call_all(caller, hook) == 0, "somebody seems to be at it"
    clock.forward(seconds=61)
    assert call_all(caller, hook) == 1
    with ledger.writing() as tx:  # it was not dead after all: what it has to say counts no more
        assert hooks.settle(tx, dead, Answered(500, "it answered 500"), clock.now) is None
    assert state_of(ada, hook) == ["delivered"]
    assert program.heard[0]["id"] == f"call-{dead.id}"


def test_two_callers_never_make_the_same_call(
    ledger: Ledger, bot: Api, ada: Api, program: Program, clock: Clock
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    for n in range(12):
        brought(bot, conversation_id=f"c-{n}")
    callers = [Caller(ledger, clock) for _ in range(3)]
    threads = [threading.Thread(target=call_all, args=(one, hook)) for one in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(one["conversation"]["conversation_id"] for one in program.heard) == sorted(
        f"c-{n}" for n in range(12)
    )
    for one in callers:
        one.stop()


def test_the_loop_tells_by_itself(ledger: Ledger, bot: Api, ada: Api, caller: Caller, program: Program) -> None:
    a_hook(ada, program.url, channel="webchat")
    brought(bot)
    caller.start()
    assert eventually(lambda: program.heard)


def test_a_hook_that_is_gone_is_switched_off_with_an_alarm(
    ledger: Ledger, bot: Api, ann: Api, ada: Api, caller: Caller, program: Program
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    told = brought(bot)
    ann.post(f"/conversations/{told['conversation']}/take")
    ann.post(f"/conversations/{told['conversation']}/reply", {"text": "Hello Mia"})
    program.answer = lambda _: 410
    call_all(caller, hook)
    shown = ada.get(f"/hooks/{hook['id']}").json
    assert (shown["on"], "410" in shown["why"]) == (False, True)
    assert set(state_of(ada, hook)) == {"failed"}
    last = ann.get(f"/conversations/{told['conversation']}/messages").json[-1]
    assert (last["status"], last["error"]) == (
        "failed", "the bot of this channel could not be told: the hook was switched off",
    )  # fmt: skip
    with ledger.reading() as tx:
        assert alarms.is_raised(tx, f"hook {hook['id']}")
    assert ada.post(f"/hooks/{hook['id']}/again").json["error"] == "not_allowed"
    ada.post(f"/hooks/{hook['id']}/on")
    program.answer = lambda _: 200
    assert len(ada.post(f"/hooks/{hook['id']}/again").json["again"]) == 3
    assert call_all(caller, hook) == 3
    assert ann.get(f"/conversations/{told['conversation']}/messages").json[-1]["status"] == "delivered"
    with ledger.reading() as tx:
        assert not alarms.is_raised(tx, f"hook {hook['id']}")


def test_days_of_nothing_but_failures_switch_it_off(
    ledger: Ledger, bot: Api, ada: Api, caller: Caller, program: Program, clock: Clock
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    brought(bot)
    program.answer = lambda _: 503
    for _ in range(13):
        assert call_all(caller, hook) == 1
        clock.forward(hours=6, seconds=1)
    shown = ada.get(f"/hooks/{hook['id']}").json
    assert shown["on"] is False and "nothing but failures" in shown["why"]
    with ledger.reading() as tx:
        assert alarms.is_raised(tx, f"hook {hook['id']}")


def test_words_that_a_person_overtook_are_not_told(
    ledger: Ledger, bot: Api, ann: Api, ada: Api, caller: Caller, program: Program, clock: Clock
) -> None:
    hook = a_hook(ada, program.url, Happening.MESSAGE_CREATED, channel="webchat")
    told = brought(bot)
    with ledger.writing() as tx:
        visit = guests.visit(tx, int(told["id"]))
        row = outbox.lock_conversation(tx, visit.conversation_id)
        outbox.queue(tx, row.id, seeding.Text("It takes longer."), author=Author.DESK, epoch=row.epoch, now=NOW)
    ann.post(f"/conversations/{told['conversation']}/take")
    ann.post(f"/conversations/{told['conversation']}/reply", {"text": "Hello Mia"})
    call_all(caller, hook)
    assert [one["message"]["text"] for one in program.heard] == ["Hello Mia"]
    said = {one["text"]: one["status"] for one in ann.get(f"/conversations/{told['conversation']}/messages").json}
    assert (said["It takes longer."], said["Hello Mia"]) == ("withdrawn", "delivered")


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://bot.example/x", True),
        ("https://bot.example:8443/x?y=1", True),
        ("http://127.0.0.1:9000/", True),
        ("http://localhost/", True),
        ("http://bot.example/x", False),
        ("https://10.0.0.5/", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://[fd00::1]/", False),
        ("https://[::ffff:10.0.0.1]/", False),
        ("https://user:pass@bot.example/", False),
        ("https://bot.example/#part", False),
        ("ftp://bot.example/", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://bot.example:99999/", False),
        ("https://bot.example/a b", False),
        ("bot.example", False),
        ("https://[::1", False),
    ],
)
def test_a_hook_leads_to_the_open_internet_or_this_machine(url: str, is_fine: bool) -> None:
    if is_fine:
        require_url(url, private=False)
        return
    with pytest.raises(BadUrl):
        require_url(url, private=False)


def test_our_own_network_can_be_allowed() -> None:
    require_url("http://10.0.0.5/", private=True)


def test_a_name_that_leads_inside_is_not_spoken_to(
    quick_app: Flask, quick_ledger: Ledger, clock: Clock, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = an_api(quick_app, quick_ledger, "webchat@fernhill.example", Role.AGENT)
    ada = an_api(quick_app, quick_ledger, "ada@fernhill.example", Role.ADMIN)
    port = program.url.split(":")[2].split("/")[0]
    hook = a_hook(ada, f"https://bot.example:{port}/x")
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **also: real("127.0.0.1" if host == "bot.example" else host, *more, **also),
    )
    brought(bot)
    caller = Caller(quick_ledger, clock)
    caller.call_one(int(hook["id"]))
    (one,) = ada.get(f"/hooks/{hook['id']}/calls").json
    assert "inside our own network" in one["answer"]
    assert program.heard == []
    caller.stop()


def test_what_was_delivered_long_ago_is_forgotten_and_what_waits_is_not(
    ledger: Ledger, bot: Api, ada: Api, caller: Caller, program: Program
) -> None:
    hook = a_hook(ada, program.url, channel="webchat")
    brought(bot)
    call_all(caller, hook)
    program.answer = lambda _: 500
    brought(bot, conversation_id="c-2")
    with ledger.writing() as tx:
        assert hooks.prune(tx, NOW + timedelta(days=40)) == 1
    assert state_of(ada, hook) == [CallState.WAITING.value]


def test_an_admin_makes_and_mends_hooks_and_tokens_on_pages(quick_app: Flask, quick_ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, "ada@fernhill.example", Role.ADMIN)
    browser = signed_in(quick_app, "ada@fernhill.example", password)
    refused = browser.post("/hooks", data={"url": "http://bot.example", "event": "message.created"})
    assert (refused.status_code, "https, please" in refused.text) == (422, True)
    made = browser.post("/hooks", data={"url": "https://bot.example/x", "event": "message.created"})
    assert "whsec_" in made.text
    assert "whsec_" not in browser.get("/hooks").text + browser.get("/hooks/1").text
    for verb in ("off", "on", "again", "remove"):
        assert browser.post(f"/hooks/1/{verb}").status_code == 303, verb
    assert browser.post("/hooks/1/on").status_code == 404
    made = browser.post(
        "/tokens", data={"email": "ada@fernhill.example", "name": "Webchat", "scope": "read", "days": "9"}
    )
    token = made.text.split("<code>baton_")[1].split("</code>")[0]
    page = browser.get("/tokens").text
    assert token not in page and "Webchat" in page and "2026-12-01" in page
    headers = {"Authorization": f"Bearer baton_{token}"}
    assert quick_app.test_client().get("/api/v1/account", headers=headers).json["scopes"] == ["read"]
    with quick_ledger.reading() as tx:
        (one,) = [one for one in seeding.agents.tokens_of(tx) if one.name == "Webchat"]
    assert browser.post(f"/tokens/{one.id}/end").status_code == 303
    assert quick_app.test_client().get("/api/v1/account", headers=headers).status_code == 401


@pytest.mark.parametrize("role", [Role.AGENT, Role.SUPERVISOR, Role.CONTENT])
def test_nobody_else_sees_tokens_or_hooks(quick_app: Flask, quick_ledger: Ledger, role: Role) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, "who@fernhill.example", role)
    browser = signed_in(quick_app, "who@fernhill.example", password)
    for path in ("/tokens", "/hooks", "/hooks/1"):
        assert browser.get(path).status_code == 403
    for path in ("/tokens", "/tokens/x/end", "/hooks", "/hooks/1/on"):
        assert browser.post(path).status_code == 403


def test_a_token_that_has_ended_is_out(quick_app: Flask, quick_ledger: Ledger, clock: Clock) -> None:
    seeding.an_account(quick_ledger, "who@fernhill.example")
    with quick_ledger.writing() as tx:
        token = seeding.agents.add_token(tx, "who@fernhill.example", NOW, ends_at=NOW + timedelta(days=1))
    headers = {"Authorization": f"Bearer {token}"}
    assert quick_app.test_client().get("/api/v1/account", headers=headers).status_code == 200
    clock.forward(days=1)
    assert quick_app.test_client().get("/api/v1/account", headers=headers).status_code == 401
