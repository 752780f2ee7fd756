"""Published concepts: immutable numbered versions, one head per concept, and what keeps them in order.

Between training, which publishes, and serving, which resolves. Knows objects by key, and neither S3 nor models. Open
`registry.py` first for what can be asked, `publication.py` for how a version comes to be, `layout.py` for what lies
where.
"""

from textinv.registry.entries import ConceptSummary, Described, PublishedVersion, VersionEntry, VersionSummary
from textinv.registry.registry import Registry, copy_concept
from textinv.registry.sweep import SweepReport
from textinv.registry.verification import Problem

__all__ = [
    "ConceptSummary",
    "Described",
    "Problem",
    "PublishedVersion",
    "Registry",
    "SweepReport",
    "VersionEntry",
    "VersionSummary",
    "copy_concept",
]
