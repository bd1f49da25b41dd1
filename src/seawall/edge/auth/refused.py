"""Why a caller is not let in."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Reason = Literal[
    "missing",
    "malformed",
    "unknown",
    "revoked",
    "expired",
    "not_yet",
    "audience",
    "issuer",
    "signature",
    "algorithm",
    "key_unavailable",
]

# Whoever shows a key that does not exist, or the wrong secret of one that does, reads the same sentence.
_DETAILS: MappingProxyType[Reason, str] = MappingProxyType(
    {
        "missing": "no credentials were sent; send an API key or a token as 'Authorization: Bearer ...'",
        "malformed": "the credentials cannot be read; send one API key or one token, as it was issued",
        "unknown": "the credentials are not known here",
        "revoked": "the API key was revoked; ask for another",
        "expired": "the credentials have expired; renew them",
        "not_yet": "the token is not valid yet; check the clock of whoever issued it",
        "audience": "the token was issued for another audience; ask for one that is meant for this service",
        "issuer": "the token was issued by somebody else; ask the issuer that this service trusts",
        "signature": "the token's signature does not hold",
        "algorithm": "the token is signed in a way that is not accepted here; sign with RS256, ES256 or EdDSA",
        "key_unavailable": "the credentials cannot be checked for now; try again",
    }
)


@dataclass(frozen=True, slots=True)
class AuthRefused:
    """A refusal. `key_id` names the API key that was tried, where there is one of that id; else it is empty."""

    reason: Reason
    key_id: str = ""

    @property
    def detail(self) -> str:
        """What may be told to the caller: no part of what was sent, and nothing of what is kept."""
        return _DETAILS[self.reason]

    @property
    def again(self) -> bool:
        """Whether the same credentials may be taken later: nothing was found wrong with them."""
        return self.reason == "key_unavailable"
