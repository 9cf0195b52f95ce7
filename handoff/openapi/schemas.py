"""What the API takes and answers, as JSON Schema. An object has these keys and no others, unless it says so."""

from __future__ import annotations

from typing import Any

from bot.vocabulary import (
    Author,
    CallState,
    Clue,
    Csat,
    FileState,
    Happening,
    Holder,
    Outcome,
    Reason,
    Role,
    Routing,
    Status,
    UpdateState,
)
from handoff.roles import Scope

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "description": "opaque"}
MOMENT: Schema = {"type": "string", "format": "date-time", "description": "ISO 8601 in UTC"}
YES: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
ANYTHING: Schema = {"type": "object", "description": "whatever there is; its keys are not ours"}
SPOKEN: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
CHANNEL: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$"}


def ref(name: str) -> Schema:
    """Point to a schema of this file."""
    return {"$ref": f"#/components/schemas/{name}"}


def words(kind: Any) -> Schema:
    """One of an enum's values."""
    return {"type": "string", "enum": [one.value for one in kind]}


def maybe(schema: Schema) -> Schema:
    """That, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def many(schema: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema}


def thing(also: Schema | None = None, /, **must: Schema) -> Schema:
    """An object that has all of these, perhaps some of `also`, and nothing else."""
    return {
        "type": "object",
        "properties": {**must, **(also or {})},
        "required": list(must),
        "additionalProperties": False,
    }


def given(must: Schema, also: Schema | None = None) -> Schema:
    """What a program sends: these it must, those it may."""
    return {"type": "object", "properties": {**must, **(also or {})}, "required": list(must)}


CONTACT = thing(
    id=ID,
    phone=maybe(TEXT) | {"description": "digits; null for who hides it, and for guests"},
    user_id=maybe(TEXT) | {"description": "Meta's id of them"},
    name=TEXT,
    username=maybe(TEXT),
    blocked=YES,
    marketing=YES,
)
CONVERSATION = thing(
    {"channel": CHANNEL | {"description": "where another bot speaks with them; not there for WhatsApp"}},
    key=TEXT,
    holder=words(Holder),
    contact=ref("Contact"),
    reason=maybe(words(Reason)),
    last_message=TEXT,
    last_message_at=MOMENT,
    agent=maybe(TEXT),
    waiting_since=maybe(MOMENT),
    due_at=maybe(MOMENT) | {"description": "by when who waits was promised a person"},
    late=YES,
    window_ends=maybe(MOMENT) | {"description": "until when a reply may be sent; null: closed, or there is none"},
    team=maybe(TEXT),
    needs=many(TEXT),
    slots=ANYTHING,
    wish=TEXT,
    evidence=many(ref("Fact")),
    came_back=COUNT | {"description": "how often it was back within minutes of being given back"},
    snoozed_until=maybe(MOMENT),
)
QUOTED = thing(id=maybe(ID), wamid=TEXT, author=maybe(words(Author)), text=maybe(TEXT))
FILE = thing(state=words(FileState), mime_type=TEXT, size=maybe(COUNT), name=TEXT)
MESSAGE = thing(
    {
        "intent": maybe(TEXT),
        "confidence": maybe(NUMBER),
        "agent": TEXT,
        "error": TEXT,
        "edited_at": maybe(MOMENT),
        "deleted_at": maybe(MOMENT),
        "file": ref("File"),
        "quotes": ref("Quoted"),
        "reaction": thing(emoji=TEXT, to=maybe(ID), wamid=TEXT),
        "place": thing(latitude=NUMBER, longitude=NUMBER, name=TEXT, address=TEXT, url=TEXT),
        "voice": YES,
        "origin": ANYTHING,
    },
    id=ID,
    author=words(Author),
    text=TEXT,
    type=TEXT,
    at=MOMENT,
    status=maybe(words(Status)),
)
FACT = thing(
    clue=words(Clue),
    value=maybe(TEXT),
    turn=maybe(ID) | {"description": "of the bot: whose words it is about"},
    score=maybe(NUMBER),
)
EPISODE = thing(
    id=ID,
    reason=words(Reason),
    evidence=many(ref("Fact")),
    wish=TEXT,
    asked_at=MOMENT,
    due_at=maybe(MOMENT),
    taken_at=maybe(MOMENT),
    agent=maybe(TEXT),
    first_answer_at=maybe(MOMENT),
    longest_wait_s=COUNT | {"description": "for a later answer, in seconds of opening time"},
    late=thing(first=YES, next=YES, close=YES),
    closed_at=maybe(MOMENT),
    outcome=maybe(words(Outcome)),
    summary=TEXT,
    joined_to=maybe(ID) | {"description": "it came back within minutes: the handoff it goes on with"},
    came_back=COUNT,
    snoozed_until=maybe(MOMENT),
    csat=maybe(words(Csat)),
    csat_at=maybe(MOMENT),
)
HANDOFF = thing(
    id=ID,
    conversation=TEXT | {"description": "the key of its conversation at this desk"},
    channel=CHANNEL,
    conversation_id=TEXT | {"description": "your id of the conversation"},
    state={"type": "string", "enum": ["waiting", "taken", "closed"]},
    reason=words(Reason),
    agent=maybe(TEXT),
    place=maybe({"type": "integer", "minimum": 1}) | {"description": "in the queue, while they wait"},
    due_at=maybe(MOMENT),
    late=YES,
    sentence=maybe(TEXT) | {"description": "what the contact can truthfully be told now, while they wait"},
    asked_at=MOMENT,
    taken_at=maybe(MOMENT),
    closed_at=maybe(MOMENT),
    outcome=maybe(words(Outcome)),
)
HOOK = thing(
    id=ID,
    url=TEXT,
    events=many(words(Happening)),
    channel=maybe(TEXT),
    on=YES,
    why=maybe(TEXT) | {"description": "why it is off"},
    failing_since=maybe(MOMENT),
    created_at=MOMENT,
)
MADE_HOOK = HOOK | {"properties": HOOK["properties"] | {"secret": TEXT}, "required": [*HOOK["required"], "secret"]}
CALL = thing(
    id=ID,
    type=words(Happening),
    at=MOMENT,
    state=words(CallState),
    attempts=COUNT,
    tried_at=maybe(MOMENT),
    next_at=maybe(MOMENT),
    answer=maybe(TEXT),
)
HAPPENING = thing(
    {
        "message": {"type": "object", "description": "as /messages lists it; perhaps with choices"},
        "handoff": {"type": "object", "description": "id; and agent, reason or outcome, whatever it is about"},
    },
    id=TEXT | {"description": "the same each time this is told: keep it, and a repetition is known"},
    type=words(Happening),
    at=MOMENT,
    conversation=thing(key=TEXT, channel=TEXT, conversation_id=maybe(TEXT), name=TEXT),
)
LINE = given(
    {"author": {"type": "string", "enum": ["contact", "bot"]}, "text": SPOKEN},
    {"at": MOMENT, "id": TEXT | {"maxLength": 200}},
)
TALLY = thing(received=COUNT, **{state.value: COUNT for state in UpdateState}, waiting=COUNT, open=COUNT)
UPDATE = thing(
    delivery=ID, n=COUNT, at=MOMENT, kind=TEXT, state=words(UpdateState), remark=TEXT, again=YES, tried_at=maybe(MOMENT)
)
TEMPLATE = thing(
    name=TEXT,
    language=TEXT,
    category=TEXT,
    status=TEXT,
    approved=YES,
    body=TEXT,
    gaps=many(TEXT),
    header=maybe(thing(format=TEXT, text=TEXT, gaps=many(TEXT))),
    footer=TEXT,
    buttons=many(thing(type=TEXT, text=TEXT, url=maybe(TEXT))),
)
WRITTEN = thing(id=ID, author=words(Author), text=TEXT, type=TEXT, at=MOMENT)
COLLEAGUE = thing(email=TEXT, name=TEXT, role=words(Role), seen_at=maybe(MOMENT))
TEAM = thing(
    name=TEXT,
    zone=TEXT,
    hours=TEXT,
    exceptions=TEXT,
    within_min=COUNT,
    routing=words(Routing),
    capacity=maybe(COUNT),
    open=YES,
    opens_at=maybe(MOMENT),
)
ACCOUNT = thing(email=TEXT, name=TEXT, role=words(Role), scopes=many(words(Scope)))
TRANSCRIPT = thing(
    conversation=TEXT,
    contact=TEXT,
    messages=many(thing(author=words(Author), name=TEXT, text=TEXT, at=MOMENT)),
)

SCHEMAS: dict[str, Schema] = {
    "Contact": CONTACT,
    "Conversation": CONVERSATION,
    "Quoted": QUOTED,
    "File": FILE,
    "Message": MESSAGE,
    "Fact": FACT,
    "Episode": EPISODE,
    "Handoff": HANDOFF,
    "Hook": HOOK,
    "MadeHook": MADE_HOOK,
    "Call": CALL,
    "Happening": HAPPENING,
    "Line": LINE,
    "Tally": TALLY,
    "Update": UPDATE,
    "Template": TEMPLATE,
    "Written": WRITTEN,
    "Colleague": COLLEAGUE,
    "Team": TEAM,
    "Account": ACCOUNT,
    "Transcript": TRANSCRIPT,
}
