"""What families share whose network is a transformer: tokens of latents, and texts of one window for each encoder.

Owns checking and placing it. Its text encoders are named by what they are (`clip_l`, `t5xxl`), as other programs' files
name them. Does not know which; a family is one file of `textinv/models/families/`.

Shapes: as in `base`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from textinv.errors import BaseModelError
from textinv.models.base import Conditioning
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.placement import Placement
from textinv.models.prompt import HIDDEN


class TransformerModel(LatentDiffusionModel):
    """A base model whose transformer predicts; what is longer than its text encoders' windows is refused."""

    network_name = "transformer"
    max_chunks = 1
    text_width_field: ClassVar[str] = "joint_attention_dim"
    """What the transformer's config calls the width of the text it attends to: that of the last text encoder."""
    packing: ClassVar[int] = 1
    """Latents along a side that are put into channels before the transformer takes them."""

    @property
    def patch(self) -> int:
        return self.packing * int(self._network.config.patch_size)

    def place(self, placement: Placement, components: Mapping[str, Any]) -> Any:
        network, vae = components["transformer"], components[self.vae_name]
        taken, given = int(network.config.in_channels), int(vae.config.latent_channels) * self.packing**2
        if taken != given:
            raise BaseModelError(
                f"the transformer of the base model {self.id!r} takes {taken} channels, and latents have {given}: "
                "these are parts of different models, or of one that edits pictures; name a base model that draws "
                "from text alone"
            )
        wanted, width = int(network.config[self.text_width_field]), list(self.encoder_widths.values())[-1]
        if wanted != width:
            raise BaseModelError(
                f"the transformer of the base model {self.id!r} attends to text of width {wanted}, and its text "
                f"encoder gives {width}: these are parts of different models; get all its files again"
            )
        return placement.place(network)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        predicted_BCHW: Tensor = self._network(
            hidden_states=noisy_BCHW.to(self.device, self.dtype),
            timestep=self.network_times(timesteps_B.to(self.device)),
            encoder_hidden_states=conditioning[HIDDEN].to(self.dtype),
            **self.told(conditioning),
        ).sample
        return predicted_BCHW[:, : self.latent_channels].float()  # some learn a variance as well, which nobody reads

    def told(self, conditioning: Conditioning) -> dict[str, Any]:
        """What the transformer takes beside latents, times and hidden states."""
        return {}

    def network_times(self, timesteps_B: Tensor) -> Tensor:
        """Times as the transformer counts them."""
        return timesteps_B
