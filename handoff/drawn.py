"""A fragment is drawn once for everybody who sees it: what was drawn of the very same values is kept for a while.

The values are everything a macro is given, whose words they are and what this viewer may do included. So what is kept
can be neither stale nor somebody else's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import current_app
from jinja2 import Environment
from markupsafe import Markup

KEPT = 10_000  # some 20 MB


def drawn(template: str, macro: str, *values: Any) -> Markup:
    """Return what a macro draws of these values."""
    try:
        return _kept(current_app.jinja_env, template, macro, *values)
    except TypeError:  # a value that can change is never kept
        return _draw(current_app.jinja_env, template, macro, *values)


def _draw(env: Environment, template: str, macro: str, *values: Any) -> Markup:
    made: Markup = getattr(env.get_template(template).module, macro)(*values)
    return made


_kept = lru_cache(maxsize=KEPT)(_draw)
