"""What API keys hold of one person."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from seawall.edge.auth.key_store import KeyStore
from seawall.foundation.subjects.personal import Whose


class KeyRecords:
    """The `PersonalRecords` of API keys: a key knows its owner by who they are, so that is what it is asked for."""

    name = "API keys"
    how = "revoked, and whose they were taken out"

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys

    async def count(self, whose: Whose) -> int:
        """Return how many keys are the person's."""
        return len(await self._theirs(whose))

    async def erase(self, whose: Whose) -> int:
        """End them, and forget whose they were."""
        return await asyncio.to_thread(self._keys.forget, whose.tenant, whose.value)

    async def export(self, whose: Whose) -> AsyncIterator[Mapping[str, Any]]:
        """Yield them, without their secrets."""
        for key in await self._theirs(whose):
            yield {
                "id": key.id,
                "name": key.name,
                "scopes": sorted(key.scopes),
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "last_used_at": key.last_used_at,
            }

    async def settle(self) -> None:
        """Have what was overwritten be gone from the file."""
        await asyncio.to_thread(self._keys.settle)

    async def _theirs(self, whose: Whose) -> list[Any]:
        keys = await asyncio.to_thread(self._keys.all, whose.tenant)
        return [key for key in keys if key.subject == whose.value]
