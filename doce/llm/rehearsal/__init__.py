"""The rehearsal model: scripted, OpenAI-compatible, always labelled as such. No intelligence, but real edits.

It answers a chat completion the way a coding model would: in steps, through the agent's own tools, so that the whole loop
runs with no key and no network. Pure: the step follows from the messages alone, so a call that is repeated in the middle
of a turn goes on where the turn was, and the same prompt always makes the same page.
"""

from doce.llm.rehearsal.faults import HELP
from doce.llm.rehearsal.model import complete, reply
from doce.llm.rehearsal.pieces import Piece, Reply

__all__ = ["HELP", "Piece", "Reply", "complete", "reply"]
