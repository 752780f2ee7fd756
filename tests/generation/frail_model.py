"""A base model on a device that can fail."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor

from textinv.models.base import BaseModel, Conditioning

Check = Callable[[Tensor], None]
"""Raises what the device raises when it is to work on these latents (B, C, H, W)."""


def no_trouble(latents_BCHW: Tensor) -> None:
    """A device that works."""


class FrailDevice:
    """Draws as another base model does, unless a check raises."""

    def __init__(self, model: BaseModel) -> None:
        self.before_predict: Check = no_trouble
        self.before_decode: Check = no_trouble
        self.is_decoding = False
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def as_model(self) -> BaseModel:
        """Itself, as what it stands in for."""
        return cast(BaseModel, self)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        """Run the UNet, after the check."""
        self.before_predict(noisy_BCHW)
        return self._model.predict(noisy_BCHW, timesteps_B, conditioning)

    def decode_latents(self, latents_BCHW: Tensor) -> Tensor:
        """Decode, after the check."""
        self.is_decoding = True
        try:
            self.before_decode(latents_BCHW)
            return self._model.decode_latents(latents_BCHW)
        finally:
            self.is_decoding = False
