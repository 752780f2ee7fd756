"""What is minimised: the loss of Textual Inversion, and the context term.

Gal et al. 2022, arXiv:2208.01618, eq. 2: min over v of E ||eps - eps_theta(z_t, t, c_theta(y(v)))||^2.

Pure functions. Shapes: B samples, C latent channels, H x W latent size, T training timesteps; X context prompts, L
tokens, D hidden width.
"""

import torch
from torch import Tensor

from textinv.errors import BaseModelError


def add_noise(latents_BCHW: Tensor, noise_BCHW: Tensor, alphas_cumprod_B: Tensor) -> Tensor:
    """Diffuse latents: sqrt(a) z + sqrt(1 - a) eps."""
    signal_B111, noise_B111 = _scales(alphas_cumprod_B)
    return signal_B111 * latents_BCHW + noise_B111 * noise_BCHW


def target_of(prediction_type: str, latents_BCHW: Tensor, noise_BCHW: Tensor, alphas_cumprod_B: Tensor) -> Tensor:
    """What the model should predict.

    Raises:
        BaseModelError: no such prediction type.
    """
    if prediction_type == "epsilon":
        return noise_BCHW
    if prediction_type == "sample":
        return latents_BCHW
    if prediction_type == "v_prediction":
        signal_B111, noise_B111 = _scales(alphas_cumprod_B)
        return signal_B111 * noise_BCHW - noise_B111 * latents_BCHW
    raise BaseModelError(
        f"the noise scheduler predicts {prediction_type!r}: known are epsilon, v_prediction and sample"
    )


def sample_losses(predicted_BCHW: Tensor, target_BCHW: Tensor, weight_BHW: Tensor | None) -> Tensor:
    """Mean squared error of each sample (B,) in float32; with a weight, the weighted mean over its positions."""
    error_BHW = (predicted_BCHW.float() - target_BCHW.float()).square().mean(1)
    if weight_BHW is None:
        return error_BHW.mean((1, 2))
    return (error_BHW * weight_BHW).sum((1, 2)) / weight_BHW.sum((1, 2)).clamp_min(1e-6)


def context_losses(hidden_XLD: Tensor, reference_XLD: Tensor, mask_XL: Tensor) -> Tensor:
    """Mean over the compared positions of 1 - cosine, per prompt (X,), float32."""
    cosine_XL = torch.nn.functional.cosine_similarity(hidden_XLD.float(), reference_XLD.float(), dim=-1)
    return ((1 - cosine_XL) * mask_XL).sum(1) / mask_XL.sum(1).clamp_min(1)


def _scales(alphas_cumprod_B: Tensor) -> tuple[Tensor, Tensor]:
    alphas_B111 = alphas_cumprod_B[:, None, None, None]
    return alphas_B111.sqrt(), (1 - alphas_B111).sqrt()
