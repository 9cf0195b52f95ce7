"""The calls about conversations, messages, templates and deliveries, and who asks."""

from __future__ import annotations

from bot.vocabulary import Author, Holder, Outcome, UpdateState
from handoff.endings import CHOICES, SUMMARY_MAX
from handoff.openapi.operation import Operation
from handoff.openapi.schemas import ID, MOMENT, SPOKEN, TEXT, YES, Schema, given, many, maybe, ref, thing, words
from handoff.roles import Scope

PAGE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
    "after": {"type": "string", "description": "what the header Baton-After of the last page said"},
}
MORE = {"Baton-After": "where the next page begins, where there is one"}
UNKNOWN = "unknown_conversation"
CONVERSATION = {200: ref("Conversation")}
NOBODYS = ("role_forbids", "not_yours", UNKNOWN)
DAY: Schema = {"type": "string", "format": "date", "description": "a day in UTC, which is in it"}
FOUND = thing(
    results=many(
        thing(
            conversation=TEXT, id=ID, message=ID | {"description": "where in the transcript"},
            author={"type": "string", "enum": [*(one.value for one in Author), "note"]}, agent=maybe(TEXT), type=TEXT,
            at=MOMENT, text=TEXT, snippet=many(thing(text=TEXT, marked=YES)),
        )
    ),
    contacts=many(ref("Conversation")),
    next=maybe(TEXT),
    complete=YES | {"description": "false while search still reads what was said before an upgrade"},
)  # fmt: skip
TAGGED: Schema = thing(tags=many(TEXT))
MAYBE_TEXT: Schema = {"type": "string", "maxLength": 4096}


def _verb(name: str, summary: str, *errors: str, body: Schema | None = None, keyed: bool = False) -> Operation:
    return Operation(
        "post", f"/conversations/{{key}}/{name}", summary, "Conversations", Scope.WRITE, CONVERSATION,
        body=body, keyed=keyed, errors=("role_forbids", UNKNOWN, *errors),
    )  # fmt: skip


CONVERSATIONS = [
    Operation(
        "get", "/conversations", "List conversations", "Conversations", Scope.READ,
        {200: many(ref("Conversation"))},
        query={"holder": words(Holder), "agent": {"type": "string", "description": "an e-mail, or me"}, **PAGE},
        headers={"Baton-More": "true where there are older ones", **MORE},
        errors=("bad_body", "unknown_account"),
        says="The queue as something would be lost, the others the newest first: everybody who waits for a person or "
        "has one, and the 1,000 last written in. With limit, after or agent: a page of them, the newest first.",
    ),
    Operation("get", "/conversations/{key}", "Read one conversation", "Conversations", Scope.READ, CONVERSATION,
              errors=(UNKNOWN,)),
    Operation(
        "get", "/conversations/{key}/messages", "List what was said and noted", "Conversations", Scope.READ,
        {200: many(ref("Message"))}, query=PAGE | {"after": {"type": "string", "description": "the id of an item"}},
        headers=MORE, errors=(UNKNOWN, "bad_body"),
        says="Oldest first; all of it, or with limit or after a page. A message has more keys only where there is "
        "something to say.",
    ),
    Operation(
        "get", "/conversations/{key}/messages/{message_id}/file", "Fetch a message's file", "Conversations",
        Scope.READ, {200: None}, also={"*/*": {}}, errors=("not_found", "role_forbids"),
        says="As it came; what browsers could run is never served as such. Ranges are answered (206), and 304, 416.",
    ),
    Operation(
        "get", "/conversations/{key}/transcript", "Export the transcript", "Conversations", Scope.READ,
        {200: ref("Transcript")}, query={"format": {"type": "string", "enum": ["json", "text", "html"]}},
        also={"text/plain": {"type": "string"}, "text/html": {"type": "string"}}, errors=(UNKNOWN, "bad_body"),
        says="What both sides said and read, to be handed to the contact: no notes, nothing that did not arrive.",
    ),
    Operation(
        "get", "/search", "Find what was said", "Conversations", Scope.READ, {200: FOUND},
        query={
            "q": {"type": "string", "description": "words, half words, numbers, phrases in quotes"},
            "in": {"type": "string", "description": "a conversation's key: only what was said with its contact"},
            "author": {"type": "string", "enum": [*(one.value for one in Author), "note"]},
            "agent": {"type": "string", "description": "an e-mail"},
            "list": {"type": "string", "enum": ["queue", "mine", "others", "bot"]},
            "after": DAY, "before": DAY,
            "limit": {"type": "integer", "minimum": 1, "maximum": 100},
            "cursor": {"type": "string", "description": "the `next` of the page before"},
        },
        errors=("bad_body", "role_forbids"),
        says="Messages and notes, the newest first, and contacts by name or number. A page may hold less than it might "
        "where the search has looked back for long enough; `next` goes on from there.",
    ),
    _verb("take", "Take it", "already_taken", "at_capacity"),
    _verb("requeue", "Put it back into the queue", "not_yours", "not_allowed"),
    _verb(
        "give_back", "Return it to the bot; the body may say how it went, or be missing", "not_yours", "not_allowed",
        "bad_outcome", "bad_body",
        body=given({}, {
            "outcome": words((*CHOICES, Outcome.GIVEN_BACK)),
            "summary": {"type": "string", "maxLength": SUMMARY_MAX},
        }),
    ),
    _verb(
        "snooze", "Put it aside until a time, or until the contact writes", "not_yours", "bad_snooze", "bad_body",
        body=given(
            {"until": TEXT | {"description": 'a time with its zone, like 2026-12-01T09:00:00+00:00, or "reply"'}},
            {"tell": YES | {"description": "have the contact told when they hear of us"}},
        ),
    ),
    _verb("wake", "Take it up again before its time", "not_yours", "not_allowed"),
    Operation("get", "/conversations/{key}/handoffs", "List every time a person was needed", "Conversations",
              Scope.READ, {200: many(ref("Episode"))}, errors=(UNKNOWN,)),
    _verb(
        "transfer", "Pass it on to a colleague, or to a team", "not_yours", "unknown_account", "unknown_team",
        "at_capacity", "key_used", "too_long", "not_allowed", keyed=True,
        body=given({}, {
            "to": {"type": "string", "description": "an e-mail"},
            "to_team": {"type": "string", "description": "a team's name, instead"},
            "note": MAYBE_TEXT,
            "beyond": YES | {"description": "though they have as many as they may hold; who leads may"},
        }),
    ),
    Operation(
        "post", "/conversations/{key}/reply", "Reply to the contact", "Conversations", Scope.WRITE,
        {200: ref("Written")}, body=given({"text": SPOKEN}, {"to": ID | {"description": "the message it quotes"}}),
        keyed=True, errors=(*NOBODYS, "unknown_message", "window_closed", "blocked", "key_used", "too_long"),
    ),
    Operation(
        "post", "/conversations/{key}/note", "Write a note for colleagues", "Conversations", Scope.WRITE,
        {200: ref("Written")}, body=given({"text": SPOKEN}), keyed=True,
        errors=(UNKNOWN, "role_forbids", "key_used", "too_long"),
    ),
    Operation(
        "post", "/conversations/{key}/template", "Send a template", "Conversations", Scope.WRITE,
        {200: ref("Written")}, keyed=True,
        body=given(
            {"name": TEXT, "language": TEXT},
            {
                "blanks": {"anyOf": [many(TEXT), {"type": "object", "additionalProperties": TEXT}]},
                "header": {"anyOf": [TEXT, given({"link": TEXT})]},
                "payloads": many(TEXT),
                "url_endings": many(TEXT),
            },
        ),
        errors=(*NOBODYS, "unknown_template", "bad_template", "not_wanted", "blocked", "key_used", "not_allowed",
                "too_long"),
    ),
    Operation(
        "post", "/conversations/{key}/file", "Send a file", "Conversations", Scope.WRITE, {200: ref("Written")},
        keyed=True, body_type="multipart/form-data",
        body=given(
            {"file": {"type": "string", "format": "binary"}},
            {"caption": TEXT, "to": ID | {"description": "the message it quotes"}, "as_document": TEXT},
        ),
        errors=(*NOBODYS, "unknown_message", "bad_file", "window_closed", "blocked", "key_used", "too_long",
                "not_allowed"),
    ),
    Operation("get", "/conversations/{key}/tags", "List its tags", "Conversations", Scope.READ,
              {200: TAGGED}, errors=(UNKNOWN,)),
    Operation("put", "/conversations/{key}/tags", "Have exactly these tags on it", "Conversations", Scope.WRITE,
              {200: TAGGED}, body=given({"tags": many(TEXT)}), errors=(UNKNOWN, "role_forbids", "bad_tag", "too_long"),
              says="A tag is one short word; blanks become hyphens, capitals small."),
    Operation("post", "/conversations/{key}/block", "Have Meta block the contact", "Conversations", Scope.WRITE,
              {202: ref("Conversation")}, errors=(*NOBODYS, "not_allowed")),
    Operation("post", "/conversations/{key}/unblock", "Have Meta unblock the contact", "Conversations", Scope.WRITE,
              {202: ref("Conversation")}, errors=(*NOBODYS, "not_allowed")),
]  # fmt: skip

MESSAGES = [
    Operation(
        "post", "/messages/{id}/again", "Send what failed once more", "Messages", Scope.WRITE,
        {200: thing(id=ID, again_of=ID, conversation=TEXT)},
        errors=("role_forbids", "not_yours", "unknown_message", "not_allowed", "overtaken", "window_closed", "blocked",
                "too_long"),
    ),
    Operation(
        "post", "/messages/{id}/aside", "Let what failed rest", "Messages", Scope.WRITE,
        {200: thing(id=ID, set_aside=YES, conversation=TEXT)},
        errors=("role_forbids", "not_yours", "unknown_message", "not_allowed"),
    ),
    Operation("get", "/templates", "List templates", "Messages", Scope.READ, {200: many(ref("Template"))}),
]  # fmt: skip

DESK = [
    Operation("get", "/account", "Who you are, and for what your token is good", "The desk", Scope.READ,
              {200: ref("Account")}),
    Operation("get", "/accounts", "Who may hold conversations", "The desk", Scope.READ,
              {200: many(ref("Colleague"))}),
    Operation("get", "/teams", "The teams, and whether somebody is there", "The desk", Scope.READ,
              {200: many(ref("Team"))}, errors=("role_forbids",)),
    Operation("post", "/availability", "Say whether you can be given conversations", "The desk", Scope.WRITE,
              {200: thing(available=YES)}, body=given({"available": YES}), errors=("role_forbids",)),
    Operation(
        "get", "/updates", "What became of everything Meta brought", "The desk", Scope.ADMIN,
        {200: thing(tally=ref("Tally"), updates=many(ref("Update")))},
        query={"state": words(UpdateState), "limit": PAGE["limit"]}, errors=("bad_body", "role_forbids"),
    ),
    Operation("post", "/updates/{delivery}/again", "Read a delivery again", "The desk", Scope.ADMIN,
              {202: thing(delivery=ID, again=YES)}, errors=("role_forbids", "unknown_delivery")),
    Operation("post", "/updates/{delivery}/aside", "Let a delivery rest", "The desk", Scope.ADMIN,
              {200: thing(delivery=ID, set_aside=YES)}, errors=("role_forbids", "unknown_delivery")),
    Operation("get", "/openapi.json", "This description", "The desk", None,
              {200: {"type": "object", "description": "OpenAPI 3.1"}}),
]  # fmt: skip
