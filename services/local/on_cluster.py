"""The service on a Ray cluster that is already there.

Owns connecting to it, deploying and withdrawing. The application then lives on the cluster, without this process.
"""

import logging

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from services.config import ServiceConfig
from services.local.keeper import APPLICATION
from textinv.errors import ClusterError, ServiceError


def deploy(address: str, config: ServiceConfig, host: str, port: int) -> str:
    """Deploy the application, wait until it runs, and return its URL.

    Raises:
        ClusterError: the cluster cannot be reached.
        ServiceError: the application does not start.
    """
    from services.application import build

    _connect(address)
    try:
        serve.start(http_options=HTTPOptions(host=host, port=port))
        serve.run(build(config), name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        raise ServiceError(f"the service did not start on {address}: {error}") from error
    finally:
        ray.shutdown()
    return f"http://{host}:{port}"


def withdraw(address: str) -> bool:
    """Remove the application; whether it was there.

    Raises:
        ClusterError: the cluster cannot be reached.
    """
    _connect(address)
    try:
        there = APPLICATION in serve.status().applications
        serve.delete(APPLICATION)
    finally:
        ray.shutdown()
    return there


def _connect(address: str) -> None:
    try:
        ray.init(address=address, namespace=APPLICATION, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"the Ray cluster at {address} cannot be reached: {error}") from error
