"""Playbooks: a company's positions on contract terms as data, and the pure function that applies them."""

from seawall_contracts.playbooks.playbook import (
    BUILT_IN,
    Limits,
    Playbook,
    PlaybookError,
    Rule,
    load_playbook,
    select_playbook,
)
from seawall_contracts.playbooks.verdicts import judge

__all__ = [
    "BUILT_IN",
    "Limits",
    "Playbook",
    "PlaybookError",
    "Rule",
    "judge",
    "load_playbook",
    "select_playbook",
]
