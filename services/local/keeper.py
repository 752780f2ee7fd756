"""The process that holds a service on this machine: `python -m services.local.keeper`.

Owns a Ray cluster of its own on loopback, from its start to SIGTERM. Reads one JSON document from standard input; the
settings are in its environment.
"""

import os
import signal
import sys
import threading

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from services.application import build
from services.config import ServiceConfig
from services.local.state import ServiceToKeep

APPLICATION = "textinv"
# Ray's least is about 75 MiB; only pictures pass through the object store.
_OBJECT_STORE_BYTES = 160 * 2**20
# Ray counts CPUs and does not bind them: Serve's own actors must find room on a small machine too.
_MIN_CPUS = 4


def main() -> None:
    """Hold a service until told to stop."""
    told = ServiceToKeep.model_validate_json(sys.stdin.buffer.read())
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    start_ray(told.config)
    try:
        serve.start(http_options=HTTPOptions(host=told.host, port=told.port))
        serve.run(build(told.config), name=APPLICATION, route_prefix="/")
        print("the service is up", flush=True)
        while not stop.wait(1.0):
            pass
    finally:
        serve.shutdown()
        ray.shutdown()


def start_ray(config: ServiceConfig) -> None:
    """Start a Ray cluster that belongs to this process."""
    if config.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = config.gpus
    num_cpus = max(_MIN_CPUS, os.cpu_count() or 1, int(config.max_replicas * config.num_cpus) + 1)
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=num_cpus,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            namespace=APPLICATION,
        )
    except Exception as error:  # a start that takes Ray more than 30 s is a bare Exception of Ray's
        sys.exit(f"Ray does not start here: {error}\nif this machine is busy with other work, try again when it is not")


if __name__ == "__main__":
    main()
