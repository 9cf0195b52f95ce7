"""The examples of data/nlu as plain texts: what contacts may say, by what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

MARKED = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\{[^}]*\})")  # an entity: [Leeds](town)


def examples(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield intent and text of every example."""
    for path in sorted(folder.glob("*.yml")):
        for item in (YAML(typ="safe").load(path) or {}).get("nlu") or []:
            if "intent" not in item:
                continue
            for line in str(item.get("examples") or "").splitlines():
                text = MARKED.sub(r"\1", line.strip().removeprefix("-").strip())
                if text:
                    yield str(item["intent"]), text
