"""Pictures: decoding what people have, refusing what is no picture, and fitting it to a training size.

Owns pixels and the weight of each; does not know manifests, stores or models. Open `decode.py` first.
"""

from textinv.images.decode import Picture, decode_picture
from textinv.images.duplicates import near_duplicates
from textinv.images.fit import as_trained, crop_box, fit_picture, trained_size, with_mask

__all__ = [
    "Picture",
    "as_trained",
    "crop_box",
    "decode_picture",
    "fit_picture",
    "near_duplicates",
    "trained_size",
    "with_mask",
]
