"""What the service leaves in the store is removed when nobody can ask for it any more, a bounded number at a time."""

import time

import httpx
import pytest

from services.answers.pruning import PICTURES, REPLIES, Pruner, day_of, prune
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from textinv.store import S3Store
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore

URL = "/v1/images/generations"
DAY_S = 86_400


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


@pytest.mark.anyio
async def test_answers_and_pictures_are_kept_as_long_as_they_can_be_asked_for(
    client: httpx.AsyncClient, desk: Desk, studio: ColourStudio
) -> None:
    body = {"prompt": "a", "response_format": "url", "seed": 1}
    headers = {"idempotency-key": "k"}
    first = await client.post(URL, json=body, headers=headers)
    left = keys(desk.store, PICTURES) + keys(desk.store, REPLIES)
    assert len(left) == 2
    now = time.time()
    for later_s in (0, 3600, 23 * 3600):
        Pruner(desk.store, desk.config.url_expires_s, lambda at=now + later_s: at).prune_once()  # type: ignore[misc]
        assert keys(desk.store, REPLIES)
        assert keys(desk.store, PICTURES)
    assert (await client.post(URL, json=body, headers=headers)).content == first.content
    assert studio.num_finished == 1
    Pruner(desk.store, desk.config.url_expires_s, lambda: now + 3 * DAY_S).prune_once()
    assert keys(desk.store, PICTURES) + keys(desk.store, REPLIES) == []
    assert (await client.post(URL, json=body, headers=headers)).status_code == 200
    assert studio.num_finished == 2


def test_work_is_bounded_and_the_oldest_go_first() -> None:
    store, now = MemoryStore(), time.time()
    days = [day_of(now - age * DAY_S) for age in (9, 8, 0)]
    for day in days:
        for number in range(4):
            store.put(f"{PICTURES}{day}/{number}.png", b"x")
    assert prune(store, PICTURES, DAY_S, now, max_at_once=3) == 3
    assert keys(store)[0] == f"{PICTURES}{days[0]}/3.png"
    assert [prune(store, PICTURES, DAY_S, now, max_at_once=3) for _ in range(3)] == [3, 2, 0]
    assert keys(store) == [f"{PICTURES}{days[2]}/{number}.png" for number in range(4)]


@pytest.mark.store
def test_nothing_else_in_a_real_store_is_touched(s3_store: S3Store) -> None:
    old, now = day_of(time.time() - 30 * DAY_S), time.time()
    for key in ("heads/served.json", f"runs/{old}/a", f"{REPLIES}{day_of(now)}/fresh", f"{REPLIES}{old}/stale"):
        s3_store.put(key, b"x")
    s3_store.put(f"{PICTURES}{old}/a.png", b"x")
    assert Pruner(s3_store, 3600).prune_once() is False
    assert keys(s3_store) == ["heads/served.json", f"{REPLIES}{day_of(now)}/fresh", f"runs/{old}/a"]
