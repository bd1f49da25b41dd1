"""Personal data replaced by tokens a model can reason about, and put back in what it answers.

A token is `⟦KIND:hex⟧`: 16 hexadecimal digits of HMAC-SHA-256 over the value as normalised, so that a person
keeps them however the name is written, then 8 over the exact spelling, so that restoring is exact.
"""

import hmac
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pii import Entity, find_names, find_pii, is_full_name
from seawall.foundation.errors import ConfigError, Rejected

Finder = Callable[[str], list[Entity]]

_KIND = re.compile(r"[A-Z][A-Z_]{1,30}[A-Z]")
_BODY = r"[A-Z][A-Z_]{1,30}[A-Z]:[0-9a-f]{24}"
_TOKEN = re.compile(rf"⟦{_BODY}⟧")
_ESCAPED_TOKEN = re.compile(rf"(?:⟦|\\u27[eE]6)({_BODY})(?:⟧|\\u27[eE]7)")
_LITERAL = "LITERAL"
_DIGITS = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "US_SSN"})
_TITLE = re.compile(r"(?:mr|mrs|ms|miss|dr|prof|professor) ")
_PASSES = 16


class VaultFull(Rejected):
    """A run holds more personal data than its vault may remember."""

    by = "pseudonyms"


class Pseudonyms:
    """Keyed names for one tenant's values: the same within the tenant, unrelated across tenants.

    Without the key a token cannot be tied to a value, not even by trying values. Two holders of the key can
    tell that two texts speak of the same value: pseudonymous data is still personal data (GDPR, recital 26).
    Rotating the keyring changes every name.
    """

    __slots__ = ("_identity", "_spelling", "_subject")

    def __init__(self, keyring: Keyring, tenant: str) -> None:
        if not tenant:
            raise ConfigError(
                "pseudonyms need a tenant, such as 'acme': what is shared by all protects nobody"
            )
        self._identity = keyring.key("pseudonym", tenant=tenant)
        self._spelling = keyring.key("pseudonym-spelling", tenant=tenant)
        self._subject = keyring.key("subject", tenant=tenant)

    def token(self, kind: str, value: str, *, attempt: int = 0) -> str:
        """Name a value, such as `⟦PERSON:5d41402abc4b2a76b9719d91⟧`; ConfigError unless kind is like `PERSON`.

        `attempt` gives another spelling part, for the case that a name is taken.
        """
        if _KIND.fullmatch(kind) is None:
            raise ConfigError(
                f"kind {kind!r} must be 3 to 32 capitals and underscores, such as 'EMAIL_ADDRESS'"
            )
        identity = _digest(self._identity, kind, normalise(kind, value))[:16]
        spelling = _digest(self._spelling, f"{kind} {attempt}", value)[:8]
        return f"⟦{kind}:{identity}{spelling}⟧"

    def subject(self, value: str) -> str:
        """Name a caller in ledgers and audit rows: `s-` and 24 digits, by a key that no token is made with."""
        return _subject(self._subject, value)


def subject_names(keyring: Keyring, tenant: str, value: str) -> tuple[str, ...]:
    """Return what a caller is called in records, by each key version there is, the current one first."""
    versions = reversed(keyring.versions)
    return tuple(
        _subject(keyring.key("subject", tenant=tenant, version=version), value) for version in versions
    )


class Vault:
    """Remembers one run's tokens and originals, in memory only.

    `restore(pseudonymise(text))` is `text`, to the byte; pseudonymising twice changes nothing more. Text that
    came in looking like a token is replaced by a token of its own, and a name seen that way is never given to
    a value: who writes a token into a prompt gets back what was written. Only tokens of this vault are
    restored. A full name once found by a cue is replaced wherever the run meets it afterwards. One vault a run, not shared between threads.
    """

    __slots__ = ("_find", "_foreign", "_limit", "_names", "_originals", "_people", "_pseudonyms")

    def __init__(self, pseudonyms: Pseudonyms, *, limit: int = 20_000, find: Finder = find_pii) -> None:
        self._pseudonyms = pseudonyms
        self._limit = limit
        self._find = find
        self._originals: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._foreign: set[str] = set()
        self._people: list[str] = []

    def pseudonymise(self, text: str) -> str:
        """Replace personal data by tokens; VaultFull where the run would hold more than `limit` of them."""
        text = _ESCAPED_TOKEN.sub(self._quarantine, text)
        for _ in range(_PASSES):
            # Masked by what no rule can match, so that digits of a token are never taken for a number.
            masked = _ESCAPED_TOKEN.sub(lambda match: "⟦" * len(match.group()), text)
            entities = self._find(masked) or find_names(masked, self._people)
            if not entities:
                return text
            text = self._replace(text, entities)
        raise VaultFull(
            f"personal data kept appearing after {_PASSES} passes over a text of {len(text)} characters; "
            "such a text is not natural; split it or remove its personal data before sending it"
        )

    def restore(self, text: str) -> str:
        """Put the originals back; what is not a token of this vault stays as it is."""
        return _TOKEN.sub(lambda match: self._originals.get(match.group(), match.group()), text)

    def restore_json_text(self, raw: str) -> str:
        r"""Put the originals back into serialised JSON, escaped, so that it parses to what `restore` would give.

        Understands tokens whose brackets are written `\u27e6` and `\u27e7`. A token that is cut off at either
        end stays as it is: feed whole strings.
        """

        def original(match: re.Match[str]) -> str:
            found = self._originals.get(f"⟦{match.group(1)}⟧")
            if found is None or (match.group()[0] == "\\" and _escaped(raw, match.start())):
                return match.group()
            return json.dumps(found)[1:-1]

        return _ESCAPED_TOKEN.sub(original, raw)

    def counts(self) -> dict[str, int]:
        """How many values of each kind the vault holds: what a ledger may say of them."""
        return dict(sorted(Counter(kind for kind, _ in self._names).items()))

    def __len__(self) -> int:
        """How many values the vault holds."""
        return len(self._originals)

    def __repr__(self) -> str:
        """Count what it holds without showing it."""
        return f"Vault({self.counts()})"

    def _quarantine(self, match: re.Match[str]) -> str:
        lookalike = f"⟦{match.group(1)}⟧"
        if lookalike in self._originals:
            return match.group()
        self._foreign.add(lookalike)
        return self._name(_LITERAL, match.group())

    def _replace(self, text: str, entities: list[Entity]) -> str:
        parts: list[str] = []
        at = 0
        for entity in entities:
            parts += (text[at : entity.start], self._name(entity.kind, text[entity.start : entity.end]))
            at = entity.end
        parts.append(text[at:])
        return "".join(parts)

    def _name(self, kind: str, value: str) -> str:
        known = self._names.get((kind, value))
        if known is not None:
            return known
        if len(self._originals) >= self._limit:
            raise VaultFull(
                f"the run holds {len(self._originals)} pieces of personal data, the limit is {self._limit}; "
                "split the input, or raise the vault's limit"
            )
        attempt = 0
        name = self._pseudonyms.token(kind, value)
        while name in self._originals or name in self._foreign:
            attempt += 1
            name = self._pseudonyms.token(kind, value, attempt=attempt)
        self._names[kind, value] = name
        self._originals[name] = value
        if kind == "PERSON" and is_full_name(value):
            self._people.append(value)
        return name


def normalise(kind: str, value: str) -> str:
    """Reduce a value to what makes it the same: digits of a number, letters of a name, in one case."""
    text = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    if kind == _LITERAL:
        return value
    if kind in _DIGITS:
        digits = "".join(letter for letter in text if letter.isdigit())
        # The North American country code is written or left out at will.
        return digits[1:] if kind == "PHONE_NUMBER" and len(digits) == 11 and digits[0] == "1" else digits
    if kind == "PERSON":
        return _TITLE.sub("", "".join(letter for letter in text if letter not in ".,"), count=1)
    if kind in {"URL", "DOMAIN_NAME"}:
        return text.rstrip("/")
    if kind.endswith(("_CODE", "_NUMBER")):
        return "".join(letter for letter in text if letter.isalnum())
    return " ".join(text.replace(",", " ").replace(".", " ").split()) if kind == "STREET_ADDRESS" else text


def _subject(key: bytes, value: str) -> str:
    return "s-" + _digest(key, "SUBJECT", value)[:24]


def _digest(key: bytes, kind: str, value: str) -> str:
    message = f"{len(kind)}:{kind}:{value}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, message, "sha256").hex()


def _escaped(raw: str, backslash: int) -> bool:
    """Whether the backslash is itself escaped, and so begins nothing."""
    first = backslash
    while first > 0 and raw[first - 1] == "\\":
        first -= 1
    return (backslash - first) % 2 == 1
