"""The demo base model and the world of emoji artwork that it knows.

Owns everything that makes the shipped base model: the pictures it learns from, the training of its parts, its
weights. Does not know manifests, stores, packs or servers: to the rest of the project it is one more base model.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped base model: a diffusers folder, with the whole CLIPModel in its subfolder `clip`."""
