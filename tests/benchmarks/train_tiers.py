"""Every way of learning beside `balanced` from `auto`, tier by tier: the same concepts with the same seeds, paired."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from guess import bounds
from train_pieces import Finished, Piece

from textinv.demo.concepts import TIERS, DemoConcept

ANCHOR = "(c) balanced, auto"
COMPARED = ("loss", "fidelity", "editability", "judge", "judge_editability")
Scores = Mapping[str, float]
Tiers = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By tier, then by way of learning: how many pairs, and of each score both means and the bounds of the difference."""


def tiers_of(finished: Finished, of: Mapping[str, Sequence[Piece]], concepts: Sequence[DemoConcept]) -> Tiers:
    """What is finished of every way of learning beside the same of the anchor."""
    each = {title: dict(_each(finished, pieces, concepts)) for title, pieces in of.items()}
    found = {tier: {title: _beside(scores, each[ANCHOR], tier) for title, scores in each.items()} for tier in TIERS}
    return {tier: {title: row for title, row in rows.items() if row["pairs"]} for tier, rows in found.items()}


def _each(
    finished: Finished, pieces: Sequence[Piece], concepts: Sequence[DemoConcept]
) -> Iterator[tuple[tuple[str, str, int], Scores]]:
    for piece in pieces:
        if piece in finished:
            chosen = concepts[piece.first : piece.first + piece.count]
            for concept, scores in zip(chosen, finished[piece]["each"], strict=True):
                yield (concept.tier, concept.name, piece.seed), scores


def _beside(
    ours: Mapping[tuple[str, str, int], Scores], anchor: Mapping[tuple[str, str, int], Scores], tier: str
) -> dict[str, Any]:
    pairs = [(ours[key], anchor[key]) for key in ours if key in anchor and key[0] == tier]
    scores = [name for name in COMPARED if pairs and all(name in one for one in pairs[0])]
    return {"pairs": len(pairs)} | {
        name: {
            "ours": fmean(one[name] for one, _ in pairs),
            "anchor": fmean(other[name] for _, other in pairs),
            "bounds": bounds([one[name] - other[name] for one, other in pairs]),
        }
        for name in scores
    }


def print_tiers(tiers: Tiers) -> None:
    """A line for every tier and way of learning: each score / the anchor's, and where 95 of 100 draws put what is
    between them."""
    for tier, rows in tiers.items():
        print(f"{tier}: beside {ANCHOR}")
        for title, row in sorted(rows.items()):
            told = [
                f"{name} {row[name]['ours']:.3f} / {row[name]['anchor']:.3f} "
                f"({row[name]['bounds'][0]:+.3f} to {row[name]['bounds'][1]:+.3f})"
                for name in COMPARED
                if name in row
            ]
            print(f"  {title:30} {row['pairs']:3} pairs  " + "  ".join(told))
