"""The book of all fronts behind a Serve handle."""

from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from services.access.keys import ApiKey
from services.access.ledger import Glance, Told
from textinv.errors import NotReadyError, TextinvError


class RemoteBook:
    """Asks the one replica that holds the book.

    Every call raises `NotReadyError` while there is none.
    """

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def spend(self, key: ApiKey) -> None:
        await self._ask("spend", key)

    async def enter(self, front: str, place: str, key: ApiKey) -> None:
        await self._ask("enter", front, place, key)

    async def leave(self, front: str, place: str) -> None:
        await self._ask("leave", front, place)

    async def tell(self, front: str, glances: Sequence[Glance], places: Sequence[tuple[str, str]]) -> Told:
        told: Told = await self._ask("tell", front, glances, places)
        return told

    async def look(self, caller: str, sketches: bool) -> Sequence[Glance]:
        found: Sequence[Glance] = await self._ask("look", caller, sketches)
        return found

    async def interrupt(self, caller: str) -> None:
        await self._ask("interrupt", caller)

    async def is_watched(self, caller: str) -> bool:
        return bool(await self._ask("is_watched", caller))

    async def note_end(self, caller: str, task: str) -> None:
        await self._ask("note_end", caller, task)

    async def has_ended(self, caller: str, task: str) -> bool:
        return bool(await self._ask("has_ended", caller, task))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return await getattr(self._handle, method).remote(*arguments)
        except Exception as error:
            cause: Any = error.cause if isinstance(error, RayTaskError) else error
            if isinstance(cause, TextinvError):
                raise cause from None
            raise NotReadyError(f"the book of all fronts does not answer: {type(error).__name__}") from error
