"""Every error that textinv raises on purpose.

    TextinvError
    |- InputError                something a person wrote or sent is wrong; nothing was spent on it
    |  |- SettingsError          a setting is missing or cannot be used
    |  |- ManifestError          a manifest says something it may not say
    |  |- ImageError             a file is not a picture that can be trained on
    |  |- PromptError            a prompt cannot be encoded as it is written
    |  |- RequestError           a request field is out of range or cannot be honoured
    |  |- UnknownConceptError    a concept, version or job that does not exist was named
    |  |- EmbeddingFormatError   a file is not an embedding, or not one for these text encoders
    |  `- BaseModelMismatchError an embedding belongs to another base model
    |- AccessError               no key, a wrong key, or a key without the role
    |- FlaggedError              the base model's safety checker flagged every picture of a request
    |- BaseModelError            a base model cannot be loaded
    |- StoreError                the object store did not do what was asked
    |  |- StoreUnreachableError  it does not answer
    |  |- StoreCredentialsError  it refuses the credentials
    |  |- StoreUnsafeError       it ignores conditional writes
    |  |- OldFormatError         it was written by an older program, and is to be migrated
    |  |- ObjectNotFoundError    there is no such object
    |  |- StoreConflictError     somebody else wrote first
    |  `- CorruptObjectError     the bytes are not those that were written
    |- TrainingError             a concept could not be learned
    |  |- DivergedError          its loss or its rows became non-finite
    |  |- OutOfMemoryError       not even one slot fits
    |  |- CancelledError         somebody cancelled it
    |  `- PoisonedError          it killed several workers and was set aside
    |- NewerProgramError         stored work needs a newer program than this one
    |- ClusterError              Ray cannot be reached, or did not do what was asked
    `- ServiceError              the service cannot take or finish a request now
       |- OverloadedError        the queue is full
       |- DeadlineError          it cannot be done in time
       `- NotReadyError          the model or the store is not there yet

Each class has a stable `code`. The constructor takes one message and keyword-only extras with defaults, so an error
survives pickling.
"""

from typing import Any, ClassVar


class TextinvError(Exception):
    """Any error that textinv raises on purpose.

    `message` says what happened, with which value, and what to change. `details` are facts for programs.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)


def _rebuild(kind: type[TextinvError], message: str, details: dict[str, Any]) -> TextinvError:
    return kind(message, **details)


class InputError(TextinvError):
    """Something a person wrote or sent is wrong."""

    code = "invalid_input"


class SettingsError(InputError):
    """A setting is missing or cannot be used."""

    code = "invalid_settings"


class ManifestError(InputError):
    """A manifest says something it may not say; `problems` lists each with file, line and what to change."""

    code = "invalid_manifest"


class ImageError(InputError):
    """A file is not a picture that can be trained on."""

    code = "invalid_image"


class PromptError(InputError):
    """A prompt cannot be encoded as it is written."""

    code = "invalid_prompt"


class RequestError(InputError):
    """A request field is out of range or cannot be honoured; `param` names it."""

    code = "invalid_request"


class UnknownConceptError(InputError):
    """A concept, version or job that does not exist was named."""

    code = "unknown_concept"


class EmbeddingFormatError(InputError):
    """A file is not an embedding, or not one for these text encoders."""

    code = "invalid_embedding"


class BaseModelMismatchError(InputError):
    """An embedding belongs to another base model."""

    code = "other_base_model"


class AccessError(TextinvError):
    """There is no key, a wrong key, or a key without the role that is needed."""

    code = "access_denied"


class FlaggedError(TextinvError):
    """The base model's safety checker flagged every picture of a request."""

    code = "content_policy_violation"


class BaseModelError(TextinvError):
    """A base model cannot be loaded."""

    code = "base_model_unavailable"


class StoreError(TextinvError):
    """The object store did not do what was asked."""

    code = "store_failed"


class StoreUnreachableError(StoreError):
    """The object store does not answer."""

    code = "store_unreachable"


class StoreCredentialsError(StoreError):
    """The object store refuses the credentials."""

    code = "store_credentials"


class StoreUnsafeError(StoreError):
    """The object store ignores conditional writes, so publishing to it could lose versions."""

    code = "store_unsafe"


class OldFormatError(StoreError):
    """The store was written by an older program in another layout: `textinv store migrate` brings it to this one."""

    code = "store_old_format"


class ObjectNotFoundError(StoreError):
    """There is no such object in the store."""

    code = "object_not_found"


class StoreConflictError(StoreError):
    """Somebody else wrote the object first."""

    code = "store_conflict"


class CorruptObjectError(StoreError):
    """Stored bytes are not those that were written."""

    code = "corrupt_object"


class TrainingError(TextinvError):
    """A concept could not be learned."""

    code = "training_failed"


class DivergedError(TrainingError):
    """The loss or the rows of a concept became non-finite."""

    code = "diverged"


class OutOfMemoryError(TrainingError):
    """Not even one concept fits into the memory of the device."""

    code = "out_of_memory"


class CancelledError(TrainingError):
    """Somebody cancelled the work."""

    code = "cancelled"


class PoisonedError(TrainingError):
    """A concept killed several workers and was set aside."""

    code = "poisoned"


class NewerProgramError(TextinvError):
    """Stored work has a field that this program does not know: a newer one wrote it, and a newer one can do it."""

    code = "needs_newer_worker"


class ClusterError(TextinvError):
    """Ray cannot be reached, or did not do what was asked."""

    code = "cluster_failed"


class ServiceError(TextinvError):
    """The service cannot take or finish a request now."""

    code = "service_failed"


class OverloadedError(ServiceError):
    """The queue is full; `retry_after_s` says when to come back."""

    code = "overloaded"


class DeadlineError(ServiceError):
    """A request cannot be done before its deadline."""

    code = "deadline"


class NotReadyError(ServiceError):
    """The model or the store is not there yet."""

    code = "not_ready"


def in_a_line(error: Exception) -> str:
    """What a library's error says first, to be part of a message: pydantic's and torch's have many lines."""
    if hasattr(error, "errors"):  # pydantic's, which takes long to import
        first = error.errors(include_url=False)[0]
        return f"{first['msg']} at {'.'.join(map(str, first['loc']))}" if first["loc"] else str(first["msg"])
    first, *others = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{first} {others[0]}" if first.endswith(":") and others else first
