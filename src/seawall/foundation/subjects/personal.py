"""What every store of personal data can do for one person: say how much it holds, give it out, erase it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol


class Whose(NamedTuple):
    """One person of one tenant: who they are, the ids under which their keys are kept, and what records call them."""

    tenant: str
    value: str
    ids: tuple[str, ...]
    names: tuple[str, ...]


class PersonalRecords(Protocol):
    """One store. `name` is what a receipt calls it, `how` what erasing does there, in a few words."""

    name: str
    how: str

    async def count(self, whose: Whose) -> int:
        """Return how many records the store can still tie to the person, or read."""
        ...

    async def erase(self, whose: Whose) -> int:
        """Erase them, in steps that let others write; how many. Again it goes on where it was cut off."""
        ...

    def export(self, whose: Whose) -> AsyncIterator[Mapping[str, Any]]:
        """Yield them, opened, as JSON."""
        ...

    async def settle(self) -> None:
        """Have what was erased be gone from the files too, as far as the database can be told to."""
        ...
