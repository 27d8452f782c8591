"""Makes the words of platforms fit into the names of event types.

Which word is taken is each platform's reader's business.
"""

import re

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_MAX_WORD = 64


def snake_case(word: str) -> str:
    """Return a word in snake case, ASCII only, at most 64 characters.

    `InquiryProposalCreated` is `inquiry_proposal_created`, `lead.updated` is `lead_updated`.
    """
    folded = _NO_WORD.sub("_", _WORD_START.sub("_", word[: 4 * _MAX_WORD]).lower())
    return folded.strip("_")[:_MAX_WORD].rstrip("_")
