"""What each failure reason means, in words for a person."""

from __future__ import annotations

from models.outcomes import Reason

MEANINGS = {
    Reason.UNPARSABLE: "The network’s answer was not in the form that was asked for.",
    Reason.TOO_LONG: "A prompt does not fit the network’s context or the memory, however the note is cut.",
    Reason.NOT_ALL_READ: "Some characters of the note were never in a prompt; the answer was not kept.",
    Reason.OUT_OF_MEMORY: "The memory was full. A smaller NOTEMILL_MAX_BATCH_TOKENS leaves more of it.",
    Reason.TIMED_OUT: "The note took longer than NOTEMILL_TIME_LIMIT_SECONDS allows.",
    Reason.CRASHED: "A surprise, as often as NOTEMILL_MAX_ATTEMPTS allows. The worker’s log has its place.",
    Reason.KILLED_WORKER: "Workers died with this note in hand, as often as NOTEMILL_MAX_KILLS allows.",
}
