"""What rules read out of a contract: its type and title, parties, governing law, dates, periods and amounts.

    facts = read_facts(document.text)       # seawall_contracts.schema.Facts

What it promises
- Nothing is guessed: what no rule finds is empty, and where clauses far apart name different laws, `governing_law` is None
  and the facts of that kind show both.
- Every span is verbatim: `text[span.start:span.end] == span.quote`.
- Time is linear in the length of the text, whatever it holds; about 4 ms for 50 kB.
- `document_type` is one of `DOCUMENT_TYPES`: by the title, failing that by what the text calls itself; an NDA also by its words.
- Kinds of facts: `governing law`, `effective date`, `expiration date` (ISO 8601), `notice period`, `renewal term`, `term`
  (`30 days`), `amount`, `liability cap` (`USD 250000`); a bounded number of each, in the document's order.

What it does not
- English only. Parties are read from the agreement's opening, not from letters, signature blocks or schedules.
- An expiration date that has to be worked out (three years from the effective date) is not; the term is a fact of its own.
- Amounts need a currency sign before the number; rates, formulas and tables are not read.
"""

from seawall_contracts.facts.kind import DOCUMENT_TYPES
from seawall_contracts.facts.read import read_facts

__all__ = ["DOCUMENT_TYPES", "read_facts"]
