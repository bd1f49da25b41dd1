"""Personal data replaced before a model reads it; restored in what it answers."""

from dataclasses import dataclass

from seawall.defense.guards.guard import Guard, GuardInput, Verdict
from seawall.foundation.compliance.pii import find_pii
from seawall.foundation.compliance.pii_thorough import find_pii_thorough
from seawall.foundation.compliance.pseudonyms import Finder, Vault

_COST = 0.3
_MAX_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Pseudonymise:
    """Says in a policy that personal data is to be replaced; becomes a guard once a run has its vault.

    A hardened agent does not judge by it: it applies the vault to each request on its way to the model, and
    to each answer on its way back, so that history keeps what was said.
    """

    name: str = "pseudonymise"
    cost: float = _COST
    thorough: bool = False

    @property
    def find(self) -> Finder:
        """What finds personal data."""
        return find_pii_thorough if self.thorough else find_pii

    def with_vault(self, vault: Vault) -> Guard:
        """Make the guard that replaces, remembering in this vault."""
        return VaultGuard(vault)


@dataclass(frozen=True, slots=True)
class VaultGuard:
    """Replaces personal data by the vault's tokens; in output too, where `vault.restore` then undoes its own."""

    vault: Vault
    name: str = "pseudonymise"
    cost: float = _COST
    max_characters: int = _MAX_CHARACTERS

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Replace; `allow` where there is nothing to replace. A vault that is full raises: the pipeline blocks."""
        text = self.vault.pseudonymise(value.text)
        if text == value.text:
            return Verdict(outcome="allow", guard=self.name)
        return Verdict(
            outcome="replace", guard=self.name, reason_code="personal_data", score=1.0, replacement=text
        )


def pseudonymise(*, thorough: bool = False) -> Pseudonymise:
    """Ask for personal data to be replaced by tokens before any model reads it.

    `thorough` finds names without a cue, dates, places and more, at 0.2 ms a sentence, and takes other words for names.
    """
    return Pseudonymise(thorough=thorough)
