"""Synthetic rows of `results.jsonl` with their texts: small, seeded, and shaped like the real ones."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

HOSTILE = '</script><img src=x onerror="window.owned=1">\u2028\'`${7*7}<!--'
CLAUSES = (
    "Governing Law", "Cap On Liability", "Uncapped Liability", "Anti-Assignment", "Termination For Convenience",
    "Renewal Term", "Expiration Date", "Non-Compete", "Exclusivity", "Audit Rights", "Ip Ownership Assignment",
    "Insurance", "Change Of Control", "Most Favored Nation", "Liquidated Damages", "Source Code Escrow",
)  # fmt: skip
LAWS = ("Delaware", "New York", "California", "England and Wales", "Texas", None)
TYPES = ("services", "license", "nda", "supply", "distribution", "other")
SUBJECTS = ("Alder", "Brackwater", "Cindermoor", "Dunmore", "Eastgate", "Fennimore", "Gatling", "Harrowby")
RULES = (
    ("cap", "Liability is capped", "Cap On Liability", "critical", "Each party's total liability under this Agreement shall not exceed the fees paid in the twelve months before the claim."),
    ("law", "Governing law is agreed", "Governing Law", "medium", "This Agreement is governed by the laws of the State of Delaware."),
    ("assign", "No assignment without consent", "Anti-Assignment", "high", "Neither party may assign this Agreement without the other's prior written consent, not to be unreasonably withheld."),
    ("renewal", "No silent renewal", "Renewal Term", "medium", "This Agreement ends at the end of its term unless both parties extend it in writing."),
    ("compete", "No non-compete", "Non-Compete", "high", ""),
    ("insurance", "Insurance is carried", "Insurance", "low", "The Supplier shall carry commercial general liability insurance of at least USD 1,000,000 per occurrence."),
)  # fmt: skip
PARAGRAPH = (
    "{number}. {clause}. Subject to the terms set out herein, the parties agree that the provisions concerning {lower} apply for the "
    "Term, and that neither party shall be deemed to have waived them by any course of dealing. "
    "Notices are given in writing to the address above.\n\n"
)


def make_text(rng: random.Random, title: str, paragraphs: int) -> str:
    """Write something contract-like, of about 300 characters a paragraph."""
    parts = [
        f"{title.upper()}\n\nThis Agreement is made between Alder Ltd (the “Supplier”) and Brackwater Inc. (the “Client”).\n\n"
    ]
    for number in range(paragraphs):
        clause = rng.choice(CLAUSES)
        parts.append(PARAGRAPH.format(number=number + 1, clause=clause, lower=clause.lower()))
    return "".join(parts)


def span(text: str, start: int, length: int) -> Row:
    """Cut a span out of a text."""
    start = min(start, max(0, len(text) - 1))
    quote = text[start : start + length]
    return {"start": start, "end": start + len(quote), "quote": quote}


def spans(rng: random.Random, text: str, most: int = 2) -> list[Row]:
    """Choose spans anywhere in the text."""
    return [
        span(text, rng.randrange(max(1, len(text) - 300)), rng.randint(60, 420))
        for _ in range(rng.randint(1, most))
    ]


def make_row(rng: random.Random, file: str, text: str, texts: Path) -> Row:
    """Write the text down and make up a review of it."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    (texts / f"{sha256}.txt").write_bytes(text.encode())
    findings = [_finding(rng, clause, text) for clause in CLAUSES]
    evidence = {finding["clause"]: finding["spans"] for finding in findings}
    rules = [_rule(rng, rule, evidence) for rule in RULES]
    off = sum(rule["outcome"] in {"deviation", "missing"} for rule in rules)
    alerts = [_alert(rng, text)] if rng.random() < 0.05 else []
    risk = (
        "critical" if alerts else ("low", "low", "medium", "medium", "high", "high", "critical")[min(off, 6)]
    )
    route = {"low": "accept", "medium": "legal review", "high": "legal review", "critical": "escalate"}[risk]
    law = rng.choice(LAWS)
    parties = [
        {
            "name": f"{rng.choice(SUBJECTS)} {suffix}",
            "role": role,
            "span": span(text, text.find(name), len(name)) if name in text else None,
        }
        for suffix, role, name in (("Ltd", "Supplier", "Alder Ltd"), ("Inc.", "Client", "Brackwater Inc."))
    ]
    facts = {
        "document_type": rng.choice(TYPES), "document_type_score": 0.91, "title": f"{rng.choice(SUBJECTS)} {rng.choice(TYPES)} agreement",
        "parties": parties, "governing_law": law, "effective_date": "2024-03-01", "expiration_date": None,
        "facts": [{"kind": "notice period", "value": "30 days", "span": spans(rng, text)[0]}],
    }  # fmt: skip
    seconds = rng.uniform(0.05, 0.4)
    return {
        "file": file, "sha256": sha256, "status": "reviewed", "error": None, "duplicate_of": None,
        "document_type": facts["document_type"], "title": facts["title"], "parties": parties, "governing_law": law,
        "findings": findings, "nda": [_answer(rng, text)], "alerts": alerts,
        "playbook": {"name": "Master services agreement", "version": "1.2", "rules": rules},
        "risk": risk, "route": route, "reasons": [f"{off} rules of the playbook are not met"] if off else [], "facts": facts,
        "transaction": {
            "id": f"t-{sha256[:8]}", "cost_usd": round(rng.uniform(0.001, 0.06), 5), "input_tokens": 2100, "output_tokens": 240,
            "tokens_whole_document": len(text) // 4, "seconds": seconds, "guard_seconds": seconds * 0.1, "queue_seconds": seconds * 0.05,
            "model_seconds": seconds * 0.6, "verdicts": ["size: allow", "injection: allow"], "degradation": "full", "model": "local",
        },
    }  # fmt: skip


def failed_row(file: str, error: str) -> Row:
    """Make the row of a file that could not be reviewed."""
    return {"file": file, "sha256": None, "status": "failed", "error": error, "duplicate_of": None}


def make_rows(count: int, texts: Path, *, seed: int = 7, paragraphs: int = 30) -> Iterator[Row]:
    """Make rows one by one: now and then a failure, now and then an identical copy."""
    rng = random.Random(seed)
    before: Row | None = None
    for at in range(count):
        if at % 31 == 30:
            yield failed_row(
                f"contracts/damaged-{at:04}.pdf",
                "the PDF is encrypted; save a copy without the password",
            )
        elif at % 37 == 36 and before is not None:
            yield before | {"file": f"contracts/copy-{at:04}.txt", "duplicate_of": before["file"]}
        else:
            before = make_row(
                rng, f"contracts/agreement-{at:04}.txt", make_text(rng, f"Agreement {at}", paragraphs), texts
            )
            yield before


def make_run(**changes: object) -> Row:
    """Make `run.json`."""
    return {
        "contracts": 0, "reviewed": 0, "failed": 0, "resumed": 0, "interrupted": False, "seconds": 74.2, "contracts_per_second": 35.1,
        "peak_rss_mb": 412.0, "cost_usd": 71.3, "tokens_sent": 5_400_000, "tokens_whole_documents": 31_000_000, "model": "local",
        "playbook": "by document type", "started": "2026-03-02T09:14:00+00:00", "finished": "2026-03-02T09:15:14+00:00",
        "baseline": {"minutes_per_contract": 45.0, "usd_per_contract": 48.0},
    } | changes  # fmt: skip


def _finding(rng: random.Random, clause: str, text: str) -> Row:
    score = rng.betavariate(0.6, 0.7)
    abstained = 0.42 < score < 0.58
    return {
        "clause": clause, "present": score >= 0.5, "score": score, "abstained": abstained,
        "spans": spans(rng, text) if score >= 0.4 else [], "failed_quotes": int(rng.random() < 0.03),
    }  # fmt: skip


def _rule(rng: random.Random, rule: tuple[str, str, str, str, str], evidence: dict[str, list[Row]]) -> Row:
    name, title, clause, severity, fallback = rule
    outcome = rng.choices(("compliant", "deviation", "missing", "needs a lawyer"), (60, 18, 12, 10))[0]
    why = {
        "compliant": "The clause says what the playbook asks for.",
        "deviation": "The clause is there, but departs from the playbook's position.",
        "missing": "No such clause was found in the document.",
        "needs a lawyer": "The evidence is too weak to decide.",
    }[outcome]
    return {
        "rule": name, "title": title, "clause": clause, "outcome": outcome, "severity": severity, "why": why, "fallback": fallback,
        "spans": evidence[clause] if outcome != "missing" else [],
    }  # fmt: skip


def _alert(rng: random.Random, text: str) -> Row:
    return {
        "kind": "text addressed to the reviewer",
        "why": "A sentence instructs whoever reviews the document; it was not obeyed.",
        "spans": spans(rng, text)[:1],
    }


def _answer(rng: random.Random, text: str) -> Row:
    label = rng.choice(("Entailment", "Contradiction", "NotMentioned"))
    return {
        "id": "nda-1", "hypothesis": "Receiving Party shall not reverse engineer any objects which embody Confidential Information.",
        "label": label, "score": 0.83, "abstained": False, "spans": spans(rng, text) if label != "NotMentioned" else [],
    }  # fmt: skip
