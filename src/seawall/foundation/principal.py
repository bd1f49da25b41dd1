"""Who is asking."""

from dataclasses import dataclass

from seawall.foundation.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller as the edge authenticated it; every limit, key and ledger row hangs on it.

    `tenant` is the customer whose data must never mix with another's; `subject` is the person or machine
    acting. The subject may be personal data: it is pseudonymised before anything is stored.
    """

    tenant: str
    subject: str
    scopes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse an anonymous caller: nothing downstream could tell it from another."""
        if not self.tenant or not self.subject:
            raise ConfigError("a Principal needs a tenant and a subject, such as Principal('acme', 'u-17')")
