"""Scores of a learned concept, from features and rows. Pure functions.

All features are unit vectors, so a cosine is a product. Shapes: G drawn pictures, R real pictures, T prompts, F width
of the features, N vectors, V vocabulary, D width of a text encoder.
"""

from torch import Tensor


def all_pairs(first_GF: Tensor, second_RF: Tensor) -> float:
    """Mean cosine over all pairs: fidelity when drawn pictures meet real ones (CLIP-I)."""
    return float((first_GF @ second_RF.T).mean())


def within(features_RF: Tensor) -> float | None:
    """Mean cosine over all pairs of different pictures: the most that fidelity can be; None for a single picture."""
    count = len(features_RF)
    if count < 2:
        return None
    cosines_RR = features_RF @ features_RF.T
    return float((cosines_RR.sum() - cosines_RR.diagonal().sum()) / (count * (count - 1)))


def matched(pictures_GF: Tensor, prompts_GF: Tensor) -> float:
    """Mean cosine of each picture with its own prompt: editability (CLIP-T)."""
    return float((pictures_GF * prompts_GF).sum(-1).mean())


def of_each(scores_G: Tensor) -> list[float]:
    """Scores of single pictures as a record keeps them."""
    return [round(float(score), 4) for score in scores_G]


def norm_ratio(rows_ND: Tensor, vocabulary_VD: Tensor) -> float:
    """Mean norm of the learned rows over that of the vocabulary: far above 1, prompts stop working."""
    return float(rows_ND.float().norm(dim=-1).mean() / vocabulary_VD.float().norm(dim=-1).mean())
