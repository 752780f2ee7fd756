"""What people are told of an outcome: why a concept stopped, and what to do about a failure.

Owns the sentences, by the codes of errors and by the reasons in training records. Errors themselves say what happened.
"""

from collections.abc import Mapping

WHY: Mapping[str, str] = {
    "converged": "its loss on the fixed batch no longer fell, so more steps would have taught it little",
    "cap": "it reached max_steps; if the curve still falls, allow more steps",
    "untrained": "its recipe takes no steps, so its rows are what it began with",
    "cancelled": "somebody cancelled it",
    "diverged": "its loss or its rows became non-finite",
    "failed": "it could not be learned",
}
"""By the `stopped` of a training record."""

_DEFAULT = "Resume the job to try again; if it fails the same way, ask whoever operates the cluster."
ADVICE: Mapping[str, str] = {
    "invalid_image": "Replace the picture that the message names and submit again.",
    "invalid_input": "Change what the message names and submit again.",
    "invalid_prompt": "Change the caption or template that the message names and submit again.",
    "diverged": "Lower the learning rate or use another recipe, and submit again.",
    "out_of_memory": "Use a smaller resolution_px or fewer samples_per_step, or a device with more memory.",
    "poisoned": "Look at the evidence: several workers died while they had it. Often a picture is damaged or memory "
    "is short. Fix that and resume the job.",
    "object_not_found": "A picture is gone from the store: upload it again and resume the job.",
    "corrupt_object": "Stored bytes were changed: upload the pictures again and resume the job.",
    "other_base_model": "The base model changed: give all machines the same one and submit the manifest again.",
    "base_model_unavailable": "No worker can load the base model: make it reachable on all nodes, and the job "
    "continues.",
    "store_unreachable": "The object store did not answer for a long time: bring it back and resume the job.",
    "store_credentials": "The object store refuses the credentials: correct them and resume the job.",
    "cancelled": "It was cancelled: resume the job if you want it after all.",
}
"""By the code of an error."""
NO_WORKERS = (
    "Workers die before they learn anything: look at the fleet's log (`textinv job logs --driver`) and the base model, "
    "then resume the job."
)
"""For a job that cannot go on as a whole."""


def advice_for(code: str) -> str:
    """What to do about an error with this code."""
    return ADVICE.get(code, _DEFAULT)


def why_stopped(stopped: str | None) -> str | None:
    """The reason of a training record as a sentence."""
    return None if stopped is None else WHY.get(stopped, stopped)
