"""A board that remembers what was shown on it."""

from collections import Counter, defaultdict


class RememberedBoard:
    """Figures by name and tags, as `name base=x outcome=done`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.values: dict[str, float] = {}
        self.seen: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, name: str, amount: float, **tags: str) -> None:
        self.counts[spelled(name, tags)] += amount  # type: ignore[assignment]

    def set(self, name: str, value: float, **tags: str) -> None:
        self.values[spelled(name, tags)] = value

    def observe(self, name: str, value: float, **tags: str) -> None:
        self.seen[spelled(name, tags)].append(value)


def spelled(name: str, tags: dict[str, str]) -> str:
    return " ".join([name.removeprefix("textinv_"), *(f"{tag}={value}" for tag, value in sorted(tags.items()))])
