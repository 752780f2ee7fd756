"""The Serve deployment that speaks HTTP: `Front`.

Owns its life cycle under Ray Serve, and asking what several fronts share. What it answers lies in
`services.api`, which only a front itself imports: whoever deploys one starts in half the time without.
"""

from typing import TYPE_CHECKING, Any

from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from services.config import ServiceConfig
from services.drawing.replica import keep_for_good
from services.log_lines import write_log_lines
from textinv.errors import NotReadyError, TextinvError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from services.access.front_usage import AskUsage


@serve.ingress()
class Front:
    """HTTP for all studio replicas."""

    def __init__(self, config: ServiceConfig, studio: DeploymentHandle, shared: DeploymentHandle | None) -> None:
        from services.answers.pruning import Pruner
        from services.desk import Desk
        from services.drawing.remote_studio import RemoteStudio
        from textinv.store import ensure_store

        write_log_lines()
        store = ensure_store(config.settings(), answers_soon=True)
        ask = None if shared is None else _ask_behind(shared)
        self._desk = Desk(config, RemoteStudio(studio), store, shared=ask)
        self._pruner = Pruner(store, config.url_expires_s)
        self._pruner.start()
        keep_for_good()

    def __serve_build_asgi_app__(self) -> "FastAPI":
        """Give Serve the application."""
        from services.api.app import make_app

        return make_app(self._desk, tells_request_id=False)

    def __del__(self) -> None:
        """Let the pruning end when Serve lets the front go."""
        if hasattr(self, "_pruner"):
            self._pruner.stop()


def _ask_behind(handle: DeploymentHandle) -> "AskUsage":
    """Calls of the one `Shared` behind a Serve handle."""

    async def ask(method: str, *arguments: Any) -> Any:
        try:
            return await getattr(handle, method).remote(*arguments)
        except Exception as error:
            cause: Any = error.cause if isinstance(error, RayTaskError) else error
            if isinstance(cause, TextinvError):
                raise cause from None
            raise NotReadyError(f"what all fronts share does not answer: {type(error).__name__}") from error

    return ask
