"""Scenes of the world, composed in batches: on the spot, or ahead of time by other processes.

Owns the order of batches, which is the same either way: a batch is a function of (seed, index). A GPU learns faster
than one core composes.
"""

import itertools
import multiprocessing
import random
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

from textinv.demo.making.drawing import Pixels, stack
from textinv.demo.world import World, draw

Batch = tuple[Pixels, list[str]]
"""Pictures `(B, H, W, 3)` and their captions."""


@dataclass(frozen=True)
class Composer:
    """Composes pictures of `worlds` in turn."""

    worlds: Sequence[World]
    seed: int
    num_workers: int = 0
    """Processes that compose ahead; 0 composes on the spot."""

    def batch(self, index: int, size: int) -> Batch:
        """Compose `size` pictures."""
        rng = random.Random(f"{self.seed}/{index}")
        worlds = [self.worlds[place % len(self.worlds)] for place in range(size)]
        scenes = [(world, *world.sample(rng)) for world in worlds]
        pictures = [draw(scene, world.sprites) for world, scene, _ in scenes]
        return stack(pictures), [caption for _, _, caption in scenes]

    def batches(self, size: int, first: int = 0) -> Iterator[Batch]:
        """Compose batches without end, from index `first`."""
        if not self.num_workers:
            yield from (self.batch(index, size) for index in itertools.count(first))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.num_workers, context, _start_worker, (self,)) as executor:
            ahead: deque[Future[Batch]] = deque()
            for index in itertools.count(first):
                ahead.append(executor.submit(_compose, index, size))
                if len(ahead) > 4 * self.num_workers:
                    yield ahead.popleft().result()


_composer: Composer
"""What a worker composes with; sent once."""


def _start_worker(composer: Composer) -> None:
    global _composer
    _composer = composer


def _compose(index: int, size: int) -> Batch:
    return _composer.batch(index, size)
