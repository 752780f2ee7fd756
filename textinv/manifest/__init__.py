"""Manifests: what a person wrote about what to learn."""

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
