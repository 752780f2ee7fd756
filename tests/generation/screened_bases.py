"""Tiny base models that ship a safety checker with random weights."""

import json
from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

from tests.models.tiny_bases import make_base

FLAGS_ALL, FLAGS_NONE = -2.0, 2.0


def make_screened_base(folder: Path, threshold: float) -> Path:
    """Save a tiny SD1 base with a safety checker that flags whatever is nearer than `threshold` to any of its concepts.

    The nearness is a cosine, so -2 flags every picture and 2 none.
    """
    make_base("sd1", folder)
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(vision_config=vision | {"image_size": 16, "patch_size": 8}, projection_dim=8)
    torch.manual_seed(0)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds.data = torch.randn(checker.concept_embeds.shape)
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(FLAGS_NONE)
    checker.save_pretrained(folder / "safety_checker")
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor.save_pretrained(folder / "feature_extractor")
    index = folder / "model_index.json"
    said = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    said |= {"feature_extractor": ["transformers", "CLIPImageProcessor"]}
    index.write_text(json.dumps(json.loads(index.read_text()) | said))
    return folder
