"""The demo base model and the world of emoji artwork that it knows.

Owns what runs for a user: the shipped weights and what lies beside them (its judge, its evaluation prompts), the
sprites, pictures of concepts that the base has never seen (`concept_pictures`, `textinv demo-pictures`), and the
quickstart. How the base is made and measured is in `making`, which nothing imports. To the rest of the project it is
one more base model. Open `concepts` first, then `world`.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped base model: a diffusers folder, with a CLIP, a judge and evaluation prompts beside it."""
GUESS = WEIGHTS / "guess.safetensors"
"""Its guess, where one is found in any base model's folder."""
