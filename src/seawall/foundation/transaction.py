"""What one agent run cost, and where its time went."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, get_args

Outcome = Literal["ok", "refused", "blocked", "timeout", "cancelled", "failed"]
Degradation = Literal["full", "fallback", "reduced", "cached", "partial", "refused"]
# From the best answer to none.
LEVELS: tuple[Degradation, ...] = get_args(Degradation)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One ledger row. Seconds are wall-clock; `cost_usd` is None where the price is unknown, never zero.

    `subject` is a keyed pseudonym. `tokens_without_retrieval` is what the same question would have sent had
    the whole document gone along; 0 where that does not apply. `attempts` are `model:outcome`, in order.
    `degradation` is how much less than asked for the caller got: another model's answer (`fallback`), that of a smaller
    one (`reduced`), one given earlier (`cached`), one in which the parts named in `missing` are missing (`partial`), none
    (`refused`). `policy_version` and `prompt_version` are digests of the policy and of the agent's instructions, empty where
    no model was asked. `expires_at` is seconds since the epoch: after it the row is never read again and is deleted.
    """

    id: str
    tenant: str
    subject: str
    agent: str
    model: str
    started_at: float
    expires_at: float
    outcome: Outcome
    seconds: float = 0.0
    queue_seconds: float = 0.0
    guard_seconds: float = 0.0
    model_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    tokens_without_retrieval: int = 0
    requests: int = 0
    cost_usd: Decimal | None = None
    degradation: Degradation = "full"
    missing: tuple[str, ...] = field(default=())
    verdicts: tuple[str, ...] = field(default=())
    attempts: tuple[str, ...] = field(default=())
    detail: str = ""
    policy_version: str = ""
    prompt_version: str = ""

    @property
    def tokens_saved(self) -> int:
        """Tokens that retrieval kept from being sent; 0 where the whole document was not the alternative."""
        return max(0, self.tokens_without_retrieval - self.input_tokens)


def worse(one: Degradation, other: Degradation) -> Degradation:
    """Return whichever of two levels is further from a full answer."""
    return LEVELS[max(LEVELS.index(one), LEVELS.index(other))]
