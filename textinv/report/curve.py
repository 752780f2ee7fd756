"""The curve of a concept's loss on its fixed batch, as SVG.

Owns scaling and drawing; colours come from the page's style sheet. Does not know concepts.
"""

from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 26


def loss_curve(points: Sequence[tuple[int, float]], kept_step: int | None, title: str) -> str:
    """Draw losses (step, loss), marking the step whose rows were kept; `title` is escaped by the caller."""
    if len(points) < 2:
        return '<p class="quiet">no curve: the loss was measured fewer than two times</p>'
    across, down = _scales(points)
    line = " ".join(f"{across(step):.1f},{down(loss):.1f}" for step, loss in points)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
        f'<polyline class="loss" points="{line}"/>',
        *_labels(points, down),
    ]
    kept = next(((step, loss) for step, loss in points if step == kept_step), None)
    if kept is not None:
        x, y = across(kept[0]), down(kept[1])
        anchor = "end" if x > WIDTH / 2 else "start"
        parts.append(f'<circle class="kept" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(f'<path class="axis" d="M{x:.1f} {TOP + 4}V{y - 4:.1f}"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP}" text-anchor="{anchor}">kept: step {kept[0]}</text>')
    return "".join((*parts, "</svg>"))


def _scales(points: Sequence[tuple[int, float]]) -> tuple[Callable[[int], float], Callable[[float], float]]:
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    span = (high - low) or 1.0

    def across(step: int) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def down(loss: float) -> float:
        return TOP + (high - loss) / span * (HEIGHT - TOP - BOTTOM)

    return across, down


def _labels(points: Sequence[tuple[int, float]], down: Callable[[float], float]) -> list[str]:
    ends = sorted({min(loss for _, loss in points), max(loss for _, loss in points)})
    labels = [f'<text x="{LEFT - 6}" y="{down(loss) + 4:.1f}" text-anchor="end">{loss:.4f}</text>' for loss in ends]
    labels.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">step {points[0][0]}</text>')
    labels.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">step {points[-1][0]}</text>')
    return labels
