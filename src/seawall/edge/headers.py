"""What an HTTP answer says of the run behind it, beside the answer."""

from seawall.foundation.transaction import Transaction

DEGRADATION = "Seawall-Degradation"
MISSING = "Seawall-Missing"


def degradation_headers(transaction: Transaction) -> dict[str, str]:
    """Return the level of an answer, and what it had to do without, as a list of strings (RFC 9651, section 3.1).

    >>> degradation_headers(Transaction("t", "a", "s", "g", "m", 0, 0, "ok", degradation="partial", missing=("tool x",)))
    {'Seawall-Degradation': 'partial', 'Seawall-Missing': '"tool x"'}
    """
    headers = {DEGRADATION: transaction.degradation}
    if transaction.missing:
        headers[MISSING] = ", ".join(_string(name) for name in transaction.missing)
    return headers


def _string(name: str) -> str:
    # Strings of structured fields are printable ASCII; a name that is not is shown as far as it is.
    plain = "".join(character if " " <= character <= "~" else "?" for character in name)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
