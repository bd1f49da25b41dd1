"""The risk agent: a second model's word on a finished review, which the review never waits for.

`question.py` says what it is asked and may answer; `founded.py` checks the answer; `desk.py` asks; `queue.py` keeps the
reviews that still lack its part; `joined.py` puts the two together in one row.
"""

from seawall_contracts.risk.desk import RiskDesk
from seawall_contracts.risk.joined import RiskResult, assessed, lacking
from seawall_contracts.risk.policy import build_risk_agent, build_risk_policy
from seawall_contracts.risk.queue import AT_ONCE, Answered, RiskQueue, is_risk_key

__all__ = [
    "AT_ONCE",
    "Answered",
    "RiskDesk",
    "RiskQueue",
    "RiskResult",
    "assessed",
    "build_risk_agent",
    "build_risk_policy",
    "is_risk_key",
    "lacking",
]
