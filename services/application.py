"""The Serve application, built by one function from one config.

`services/deploy/serve.yaml` names `build` as its `import_path`; `textinv serve up` calls it.
"""

from typing import Any

from ray import serve
from ray.serve import Application

from services.config import ServiceConfig
from services.drawing.replica import StudioReplica
from services.front import Front
from services.shared import Shared

# A front only waits for replicas; what bounds it is memory for bodies.
_FRONT_ONGOING = 1000
# Beyond what an engine lets wait, so that the engine says 429, which knows how long the wait would be.
_SLACK = 64


def build(config: ServiceConfig) -> Application:
    """Build the application: fronts, studio replicas that are scaled by their queues, and what several fronts share."""
    studio = (
        serve.deployment(StudioReplica)
        .options(
            max_ongoing_requests=config.max_waiting + _SLACK,
            graceful_shutdown_timeout_s=config.drain_s,
            graceful_shutdown_wait_loop_s=0.5,
            health_check_period_s=5,
            ray_actor_options={"num_cpus": config.num_cpus, "num_gpus": config.num_gpus},
            **_scaling(config),
        )
        .bind(config)
    )
    front = serve.deployment(Front).options(
        num_replicas=config.num_fronts,
        max_ongoing_requests=_FRONT_ONGOING,
        graceful_shutdown_timeout_s=config.drain_s,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": 0},
    )
    if config.num_fronts == 1:
        return front.bind(config, studio, None)
    shared = serve.deployment(Shared).options(
        num_replicas=1, max_ongoing_requests=_FRONT_ONGOING, ray_actor_options={"num_cpus": 0}
    )
    return front.bind(config, studio, shared.bind())


def _scaling(config: ServiceConfig) -> dict[str, Any]:
    if config.min_replicas == config.max_replicas:
        return {"num_replicas": config.min_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": config.min_replicas,
            "max_replicas": config.max_replicas,
            "target_ongoing_requests": config.target_ongoing,
            "upscale_delay_s": 3,
            "downscale_delay_s": config.idle_s,
            "look_back_period_s": 5,
        }
    }
