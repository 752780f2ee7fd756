"""The knee of measured throughput."""

from textinv.models.room import find_knee


def test_the_knee_is_the_smallest_batch_that_nearly_reaches_the_best_throughput() -> None:
    assert find_knee({1: 1.0, 2: 1.0, 4: 1.1, 8: 2.15, 16: 4.4}) == 4
    assert find_knee({1: 1.0, 2: 2.1, 4: 2.0, 8: 2.0}) == 8
    assert find_knee({1: 1 / 10, 2: 2 / 19, 4: 4 / 30, 8: 8 / 33, 16: 16 / 33.5}) == 8
    assert find_knee({1: 1.0}) == find_knee({}) == 1
