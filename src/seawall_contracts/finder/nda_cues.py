"""Groups of words that change what a clause of an NDA says of a hypothesis: negation, permission, exception, subject.

They are counted, so that a model with few documents to learn from sees "not", "nor" and "neither" as one thing.
"""

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.nda_features import F32, HASH_BITS, Grams, hashed

CUES: tuple[str, ...] = (
    "not|no|nor|neither|none|never",
    "shall not|will not|may not|agrees not|agree not|must not|cannot|should not|not be|not to",
    "may|entitled|permitted|free to|right to|allowed|able to",
    "except|unless|other than|provided|however|without|notwithstanding|excluding|save",
    "oral|orally|verbal|verbally",
    "mark|marked|marking|legend|designated|identified|label|labeled|labelled|stamped|identifies",
    "whether or|or not|regardless|irrespective",
    "survive|survives|survival|remain|remains|continue|continues|perpetual|perpetuity|indefinitely",
    "year|years|months|period",
    "retain|retained|retention|keep|archival|retains",
    "copy|copies|copied|copying",
    "return|returned|returning|returns",
    "destroy|destroyed|destruction|destroys|erase|delete",
    "employee|employees|officer|officers|director|directors|personnel|staff",
    "representative|representatives",
    "consultant|consultants|advisor|advisors|adviser|advisers|agent|agents|contractor|contractors|attorney|attorneys|accountants|subcontractors|lawyers|auditors|professional",
    "affiliate|affiliates|subsidiary|subsidiaries",
    "third party|third parties|other person|any person|third person|anyone|persons",
    "solely|only|exclusively|sole",
    "purpose|purposes",
    "independent|independently",
    "develop|developed|development|develops",
    "business|financial|marketing|customer|customers|commercial|sales",
    "technical|technology|know how|engineering",
    "writing|written",
    "confirmed|summarized|reduced|summary|confirmation|days of|days after",
    "reverse|disassemble|decompile|reverse engineer|composition|analyze|analyse",
    "license|licence|title|granted|grant|grants|patent|patents|ownership|property",
    "solicit|solicitation|hire|employ|recruit|employment|induce",
    "notify|notice|notification|inform|notifies",
    "prompt|promptly|immediately|forthwith",
    "law|court|order|subpoena|judicial|governmental|legally|compelled|regulation|legal|process",
    "reproduce|reproduced|duplicate|duplicated|reproduction|reproductions",
    "existence|fact that|discussions|negotiations|publicity|announcement|terms",
    "prior written|written consent|consent|approval|authorization|permission",
    "need to|know|bound by|obligated",
    "source|received from|lawfully|rightfully|obtained|becomes available|acquired|available to",
    "known to|possession|already",
    "shall|will|must",
    "terminate|termination|expiration|expire|expires|terminated",
    "request|requested|option|election|discretion",
    "intangible|tangible|form|visual|electronic|inspection|demonstration|observation|media|medium|visually",
    "disclose|disclosed|disclosure",
    "use|used|using|utilize",
    "nature|reasonably|understood|considered|circumstances|ought",
    "backup|backups|back up|counsel|files|archives|one copy|records|compliance",
    "trade|secret|secrets",
    "including|limited|without limitation|include|includes",
    "extent|practicable|possible|feasible",
    "residual|residuals|memory|unaided",
    "compete|competing|similar|products|competitive",
    "confidential information",
    "each party|either party|neither party|both parties|parties|other party",
)


def _cue_of_bucket() -> NDArray[np.int16]:
    table = np.full(1 << HASH_BITS, -1, np.int16)
    for cue, group in enumerate(CUES):
        phrases = group.split("|")
        grams = hashed(phrases, chars=False).words
        for number in range(len(phrases)):
            # Single words come before pairs, so a phrase's last n-gram is the whole phrase.
            table[grams.bucket[grams.text == number][-1]] = cue
    return table


class CueCounter:
    """Says which cues a text has."""

    def __init__(self) -> None:
        self._cue = _cue_of_bucket()

    def presence(self, words: Grams, count: int) -> F32:
        """Give 1 where a text has a cue and 0 elsewhere: `[count, len(CUES)]`."""
        cue = self._cue[words.bucket]
        found = cue >= 0
        out = np.zeros((count, len(CUES)), np.float32)
        out[words.text[found], cue[found]] = 1
        return out
