"""Manifests: what a person wrote about what to learn, strict, with everything that is wrong reported at once.

Owns the fields, their ranges and the words for problems, with lines. Does not look at pictures, base models or the
store: `textinv.plan` does. Open `fields.py` first for what may be written, `load.py` for how it is read.
"""

from textinv.manifest.fields import ConceptFields, ImageEntry, Manifest, TrainingFields
from textinv.manifest.load import draft_manifest, load_manifest, parse_manifest

__all__ = [
    "ConceptFields",
    "ImageEntry",
    "Manifest",
    "TrainingFields",
    "draft_manifest",
    "load_manifest",
    "parse_manifest",
]
