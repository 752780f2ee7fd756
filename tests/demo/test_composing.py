"""Pictures of the world, composed on the spot or ahead of time by other processes."""

from itertools import islice

import numpy as np
import pytest

from textinv.demo.artwork import default_world
from textinv.demo.making.composing import Composer


@pytest.mark.load
def test_other_processes_compose_the_same_batches_in_the_same_order() -> None:
    world = default_world()
    here, elsewhere = (Composer((world,), 3, workers).batches(4, first=1) for workers in (0, 1))
    for expected, found in islice(zip(here, elsewhere, strict=False), 8):
        assert np.array_equal(expected[0], found[0])
        assert expected[1] == found[1]
    elsewhere.close()
    assert not np.array_equal(*(Composer((world,), 3).batch(index, 4)[0] for index in (0, 1)))
