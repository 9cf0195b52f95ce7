"""actions/fallback.py: what is not understood is answered once, whatever brought the bot there."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from rasa_sdk import Tracker
from rasa_sdk.executor import CollectingDispatcher

from actions.fallback import ActionFallback


@pytest.mark.parametrize("holder", ["bot", "queue"])
@pytest.mark.parametrize(
    ("loop", "next_action"),
    [({}, "action_listen"), ({"name": "order_form"}, "order_form")],
    ids=["outside of a form", "within a form"],
)
def test_the_fallback_ends_itself_where_no_rule_says_what_follows(
    holder: str, loop: dict[str, Any], next_action: str
) -> None:
    """Rasa runs it wherever no rule fits, and again after itself, ten times, unless it names what comes next."""
    user = {"event": "user", "text": "hm"}
    heard = {"metadata": {"holder": holder}}
    tracker = Tracker("key", {"requested_slot": "order_number"}, heard, [user], False, None, loop, "action_listen")
    said = CollectingDispatcher()
    events = ActionFallback().act(Mock(), said, tracker)
    assert [(event["event"], event["name"]) for event in events] == [("followup", next_action)]
    assert len(said.messages) == 1
