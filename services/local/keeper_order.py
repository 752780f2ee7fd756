"""What a keeper is told when it is started."""

from pydantic import BaseModel, ConfigDict

from services.config import ServiceConfig


class KeeperOrder(BaseModel):
    """A service to hold; store and credentials come through the environment, so none is written here."""

    model_config = ConfigDict(frozen=True)

    config: ServiceConfig
    host: str
    port: int
