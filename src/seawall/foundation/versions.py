"""Names for versions of what has no number: a digest that is the same for the same content."""

import json
from hashlib import sha256
from typing import Any


def version_of(content: Any) -> str:
    """Return 12 hexadecimal digits of SHA-256 over JSON; what JSON has no word for counts by its text."""
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
