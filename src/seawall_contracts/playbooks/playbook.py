"""A playbook as data: what it may say, and how it is loaded.

A playbook is a TOML file of rules. Every mistake in one is reported with the file, the line and the nearest
valid name, because playbooks are written by lawyers, not by the people who run the program.
"""

import hashlib
import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.names import CLAUSES
from seawall_contracts.playbooks.mistakes import describe_mistake, describe_syntax
from seawall_contracts.schema import Frozen, Label, Severity

BUILT_IN = ("nda", "msa")
Position = Literal["required", "prohibited", "allowed"]
OnBreach = Literal["deviation", "needs a lawyer"]
_MAX_BYTES = 1_000_000


class PlaybookError(ValueError):
    """A playbook that cannot be used; the message names the file, the line, what is wrong and what would be right."""


def _clause(name: str) -> str:
    if name not in CLAUSES:
        raise PydanticCustomError("unknown_name", "unknown clause")
    return name


def _hypothesis(name: str) -> str:
    if name not in HYPOTHESES:
        raise PydanticCustomError("unknown_name", "unknown hypothesis")
    return name


Clause = Annotated[str, AfterValidator(_clause)]
Hypothesis = Annotated[str, AfterValidator(_hypothesis)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Days = Annotated[StrictInt, Field(ge=0)]
Phrases = Annotated[tuple[Text, ...], Field(min_length=1)]


class Limits(Frozen):
    """What a clause must keep to where it is present; every limit given must hold.

    `governing_law`: the law named is one of these. `notice_*` and `term_*`: days (a month counts 30, a year
    365) of a period that is, or is not, a period of notice. `contains`: at least one of these phrases stands in the clause;
    `excludes`: none does. Phrases match whole words, whatever the case.
    """

    governing_law: Phrases | None = None
    notice_at_least_days: Days | None = None
    notice_at_most_days: Days | None = None
    term_at_most_days: Days | None = None
    contains: Phrases | None = None
    excludes: Phrases | None = None


class Rule(Frozen):
    """One position of the playbook, about exactly one of: a clause, an NDA hypothesis, two clauses, a fact.

    `clause` with a `position`: required, prohibited, or allowed (within `limits`). `hypothesis` with the labels
    it `expect`s. `conflict`: two clauses that contradict each other unless the text contains a phrase of
    `reconciled_by`. `one_value_of`: a kind of fact of which the document may state one value only.
    `on_breach` is the outcome of a limit not kept to: a deviation, or a question for a lawyer.
    `watch_for`: phrases that make a lawyer read a passage which looked like the clause and was judged not to be it.
    `applies_to`: document types the rule is for; on others it is left out. Without it, the rule is for all.
    """

    id: Text
    title: Text
    severity: Severity
    why: Text
    preferred: Text
    fallback: Text
    decides: Text
    clause: Clause | None = None
    position: Position | None = None
    limits: Limits | None = None
    on_breach: OnBreach = "deviation"
    hypothesis: Hypothesis | None = None
    expect: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None
    conflict: tuple[Clause, Clause] | None = None
    watch_for: Phrases | None = None
    applies_to: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    reconciled_by: Phrases | None = None
    one_value_of: Text | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        subjects = [self.clause, self.hypothesis, self.conflict, self.one_value_of]
        if sum(subject is not None for subject in subjects) != 1:
            raise ValueError("give exactly one of clause, hypothesis, conflict, one_value_of")
        pairs = (
            (self.clause, self.position, "clause", "position"),
            (self.hypothesis, self.expect, "hypothesis", "expect"),
        )
        for subject, needed, name, key in pairs:
            if (subject is None) != (needed is None):
                raise ValueError(f"{name} and {key} go together: give both or neither")
        if self.limits is not None and (self.clause is None or self.position == "prohibited"):
            raise ValueError("limits belong to a clause that is required or allowed")
        if self.watch_for is not None and self.position not in {"prohibited", "allowed"}:
            raise ValueError("watch_for belongs to a clause that is prohibited or allowed")
        if self.reconciled_by is not None and self.conflict is None:
            raise ValueError("reconciled_by belongs to a conflict")
        return self


class Playbook(Frozen):
    """A company's positions: a name, a version, the document types they were written for, the rules."""

    name: Text
    version: Text
    title: Text
    document_types: tuple[Text, ...] = ()
    rules: Annotated[tuple[Rule, ...], Field(alias="rule", min_length=1)]

    @model_validator(mode="after")
    def _unique_ids(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise PydanticCustomError("duplicate_id", "duplicate rule id", {"id": rule.id})
            seen.add(rule.id)
        return self

    @property
    def asks_nda(self) -> bool:
        """Whether a rule needs the answers to NDA hypotheses."""
        return any(rule.hypothesis is not None for rule in self.rules)

    @property
    def digest(self) -> str:
        """SHA-256 over all that the playbook says; formatting and comments of its file do not count."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_playbook(name_or_path: str) -> Playbook:
    """Load a built-in playbook ("nda", "msa") by name, or one's own by the path of its TOML file.

    Raises PlaybookError for anything that is not a valid playbook; nothing is guessed or skipped.
    """
    file, source = _read(name_or_path)
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise PlaybookError(f"{file}, {describe_syntax(str(error))}") from None
    try:
        return Playbook.model_validate(data)
    except ValidationError as error:
        mistakes = [describe_mistake(source, data, mistake, _FIELDS) for mistake in _by_importance(error)]
        first, others = mistakes[0], len(mistakes) - 1
        more = f" ({others} more mistake{'s' if others > 1 else ''} after it)" if others else ""
        raise PlaybookError(f"{file}, {first}{more}") from None


_FIELDS: dict[str, tuple[str, ...]] = {
    "playbook": tuple(info.alias or name for name, info in Playbook.model_fields.items()),
    "rule": tuple(Rule.model_fields),
    "limits": tuple(Limits.model_fields),
}


def _by_importance(error: ValidationError) -> list[ErrorDetails]:
    """Order mistakes: a misspelt key is also a missing one, and what is written explains more than what is not.

    A list is called too short if one of its values is wrong: that is an echo, and left out.
    """
    found = error.errors(include_url=False)
    causes = [mistake for mistake in found if mistake["type"] != "too_short"]
    return sorted(causes or found, key=lambda mistake: mistake["type"] == "missing")


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in BUILT_IN:
        file = f"{name_or_path}.toml"
        return file, files("seawall_contracts.playbooks").joinpath(file).read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not path.is_file():
        nearest = get_close_matches(name_or_path, BUILT_IN, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise PlaybookError(
            f"no playbook {name_or_path!r}: give {' or '.join(BUILT_IN)}, or the path of a .toml file{hint}"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PlaybookError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None
    if len(content) > _MAX_BYTES:
        raise PlaybookError(f"{path}: {len(content):,} bytes; a playbook has at most {_MAX_BYTES:,}")
    try:
        return str(path), content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PlaybookError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def select_playbook(document_type: str) -> str:
    """Name the built-in playbook for a type of document: nda for NDAs, msa for any other commercial contract."""
    words = document_type.casefold().replace("-", " ").replace("_", " ")
    is_nda = any(name in words for name in ("nda", "non disclosure", "nondisclosure", "confidentiality"))
    return "nda" if is_nda and "addend" not in words and "agenda" not in words else "msa"
