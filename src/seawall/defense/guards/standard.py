"""The guards that most agents want."""

from collections.abc import Sequence

from seawall.defense.guards.canary import Canary, canary
from seawall.defense.guards.exfiltration import ExfiltrationGuard, exfiltration
from seawall.defense.guards.injection import InjectionGuard, injection
from seawall.defense.guards.secrets import SecretsGuard, secrets
from seawall.defense.guards.size import SizeGuard, size


def standard(
    limit: str | int = "1 MB", *, allowed_hosts: Sequence[str] = ()
) -> tuple[SizeGuard | InjectionGuard | SecretsGuard | ExfiltrationGuard | Canary, ...]:
    """Make the guards that most agents want: size, injection, secrets, exfiltration and canary, each as it comes.

    `limit` bounds each text in bytes; `allowed_hosts` are those whose images and links may be shown. Personal data
    is a choice of its own: add `pseudonymise()`.
    """
    return (size(limit), injection(), secrets(), exfiltration(allowed_hosts), canary())
