"""One sign of an instruction to a model: a linear-time pattern over folded text, and what excuses it.

A space in a pattern stands for white space of any length. Gaps are bounded, so that a search that matches has
read little beyond its match.
"""

from dataclasses import dataclass

from seawall.foundation.patterns import Pattern, compile_pattern


@dataclass(frozen=True, slots=True)
class Signature:
    r"""One thing to look for: its reason code, how certain it makes one (0 to 1), and what excuses it.

    `unless` is matched against the 40 characters before, a mark `\x00`, and the 40 characters after.
    """

    code: str
    score: float
    pattern: Pattern
    unless: Pattern | None = None


def signature(code: str, score: float, pattern: str, *, unless: str | None = None) -> Signature:
    """Compile a signature; case makes no difference."""
    return Signature(code, score, _spaced(pattern), None if unless is None else _spaced(unless))


def _spaced(pattern: str) -> Pattern:
    flexible = pattern.replace(" ?", r"\s*").replace(" {", r"\s{").replace(" ", r"\s+")
    return compile_pattern("(?i)" + flexible)


# What a party shall or may do is a term of the contract, not a command to its reader.
DUTY = r"(?:shall|may|will|would|could|might|can|must)(?: not)?(?: then| also| thereafter)? ?\x00"
# A scale of grades is not a grade.
SCALE = r"\x00[^.\n]{0,12}\b(?:medium|moderate|high|only|unless|until|upon|if)\b"

DROP = (
    r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|bypass(?:ing)?|neglect|overlook|set aside|throw (?:away|out)|"
    r"do(?: not|n['’]?t) (?:follow|obey)|stop following|pay no attention to|erase|override|overriding)"
)
MODEL = (
    r"(?:a\.?i\.?|llms?|(?:large )?language models?|chat ?bots?|chat ?gpt|gpt-?\d?|claude|gemini|copilot|ai[- ](?:assistants?|"
    r"models?|agents?|systems?|reviewers?|tools?|readers?)|(?:automated|automatic|artificial|virtual|machine|digital|contract[- ]review) "
    r"(?:reviewers?|assistants?|review (?:systems?|tools?|agents?|software)|intelligences?|readers?|agents?))"
)
