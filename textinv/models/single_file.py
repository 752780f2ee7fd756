"""Single-file checkpoints: Stable Diffusion 1, 2 or XL in the layout of their original repositories.

Such a file holds weights only. The configs and the tokenizer come from a folder beside it with the file's name without
its suffix (`model.safetensors` and `model/model_index.json`), else from the hub repository that diffusers knows for
the checkpoint's kind.
"""

from pathlib import Path

from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

from textinv.errors import BaseModelError
from textinv.models.hub import fetch_snapshot

CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt")


def find_config(checkpoint: Path) -> Path:
    """Find the folder of configs that goes with a checkpoint.

    Raises:
        BaseModelError: there is none.
    """
    beside = checkpoint.with_suffix("")
    if (beside / "model_index.json").is_file():
        return beside
    try:
        repository = fetch_diffusers_config(load_single_file_checkpoint(str(checkpoint)))[
            "pretrained_model_name_or_path"
        ]
        return fetch_snapshot(repository, None, weights=False)
    except (BaseModelError, OSError, ValueError, RuntimeError) as error:
        raise BaseModelError(
            f"{checkpoint} needs the configs of its kind: put a diffusers folder without weights at {beside} ({error})"
        ) from error
