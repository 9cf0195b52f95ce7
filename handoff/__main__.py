"""`python -m handoff …`: see cli.py."""

from __future__ import annotations

import sys

from handoff.cli import main

sys.exit(main(sys.argv[1:]))
