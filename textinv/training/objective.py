"""What is minimised: the loss of Textual Inversion, and the context term.

Gal et al. 2022, arXiv:2208.01618, eq. 2: min over v of E ||eps - eps_theta(z_t, t, c_theta(y(v)))||^2.

How latents are noised and what eps is there, is the base model's process. Pure functions. Shapes: B samples, C latent
channels, H x W latent size; X context prompts, L tokens, D hidden width.
"""

import torch
from torch import Tensor


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
