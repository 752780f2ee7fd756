"""The ASGI application: all routes around one `Desk`.

Owns which routes there are and what every request passes through. Knows neither Ray nor how pictures are made.
"""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline

from services.api import about
from services.api.a1111 import draw, listings, progress
from services.api.answering import ClientGoneError
from services.api.concepts import concept_files, concepts, guess, operation
from services.api.description import describe
from services.api.errors import CLIENT_GONE, add_error_handlers
from services.api.gate import Gate
from services.api.images import edits, generations, prompts
from services.api.jobs import events as jobs_events
from services.api.jobs import fleet as jobs_fleet
from services.api.jobs import jobs, training_pictures
from services.api.jobs import submission as jobs_submission
from services.api.passage import Passage
from services.desk import Desk
from services.page.routes import router as page_router

_ROUTERS = (
    about.health,
    generations.router,
    edits.router,
    about.models,
    concepts.router,
    concept_files.router,
    guess.router,
    operation.router,
    training_pictures.router,
    jobs_submission.router,
    jobs.router,
    jobs_events.router,
    jobs_fleet.router,
    draw.router,
    listings.router,
    progress.router,
    progress.by_task,
    prompts.router,
    page_router,
)
# What a page of another origin may read of an answer, beside the few headers that every page may.
_EXPOSED = (
    "x-textinv-concepts",
    "x-textinv-ignored",
    "x-textinv-readers",
    "x-request-id",
    "retry-after",
    "server-timing",
)


def make_app(desk: Desk, *, tells_request_id: bool = True) -> FastAPI:
    """Assemble the application; behind Serve, whose proxy tells the request id itself, it does not."""
    app = FastAPIOffline(  # /docs and /redoc load nothing from elsewhere
        title="textinv",
        version=version("textinv"),
        description="Draws any sentence with any stored concepts: write `<name>` in a prompt.",
    )
    app.state.desk = desk
    for router in _ROUTERS:
        app.include_router(router)
    add_error_handlers(app)
    describe(app)
    app.add_exception_handler(ClientGoneError, lambda request, error: Response(status_code=CLIENT_GONE))
    app.add_middleware(Gate, config=desk.config)
    if desk.config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(desk.config.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(Passage, max_body_bytes=desk.config.max_body_bytes, tells_request_id=tells_request_id)
    return app
