"""Commands to type, as hints."""

from __future__ import annotations

import os


def command(text: str) -> str:
    """Return a command line that works where the user is: in a checkout, through its script."""
    return os.environ.get("LIMSM_RUN", "") + text
