"""What each role of a key opens, and what somebody without a key can cost those who have one."""

import httpx
import pytest

from services.access.keys import KeyRing
from services.access.roles import Role
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from tests.services.job_tools import IdleFleet, manifest_of, upload
from tests.services.unsteady_store import UnsteadyStore
from textinv.errors import AccessError, InputError, OverloadedError
from textinv.jobs.fleet import StoredFleet
from textinv.store.memory import MemoryStore
from textinv.store.protocol import StoredObject

pytestmark = pytest.mark.anyio


@pytest.fixture
def config() -> ServiceConfig:
    return ServiceConfig(base_model="colours", keys=True)


@pytest.fixture
def desk(config: ServiceConfig, studio: ColourStudio, store: MemoryStore) -> Desk:
    return Desk(config, studio, store, IdleFleet())


def client_with(
    desk: Desk, store: MemoryStore, role: Role, prefix: str = "", max_priority: int = 0
) -> httpx.AsyncClient:
    text, _ = KeyRing(store).create("me", role, name_prefix=prefix, max_priority=max_priority)
    client = client_of(desk)
    client.headers["authorization"] = f"Bearer {text}"
    return client


@pytest.mark.parametrize(("role", "status"), [("generate", 403), ("submit", 403), ("operate", 403), ("admin", 200)])
async def test_the_fleet_is_the_admins(desk: Desk, store: MemoryStore, role: Role, status: int) -> None:
    async with client_with(desk, store, role) as client:
        assert (await client.get("/v1/fleet")).status_code == status
        assert (await client.post("/v1/fleet/scale", json={"max": 3})).status_code == status
        assert (await client.post("/v1/fleet/drain")).status_code == status
    assert StoredFleet(store, desk.learning.fleet.name).settings().draining == (status == 200)


async def test_an_operator_of_some_names_operates_on_those_and_on_nothing_that_all_share(
    desk: Desk, store: MemoryStore
) -> None:
    publish(store, "acme-cat", 1.0)
    publish(store, "acme-cat", 2.0)
    publish(store, "other-cat")
    async with client_with(desk, store, "operate", "acme-") as client:
        assert (await client.post("/v1/concepts/acme-cat/rollback", json={"version": 1})).status_code == 200
        assert (await client.delete("/v1/concepts/acme-cat/versions/2")).status_code == 200
        assert (await client.delete("/v1/concepts/acme-cat")).status_code == 200
        assert (await client.post("/v1/concepts/other-cat/rollback", json={"version": 1})).status_code == 403
        assert (await client.delete("/v1/concepts/other-cat")).status_code == 403
        assert (await client.get("/v1/fleet")).status_code == 403


def test_no_key_is_both_bound_to_names_and_owner_of_what_all_share(store: MemoryStore) -> None:
    ring = KeyRing(store)
    with pytest.raises(InputError, match="acme-"):
        ring.create("me", "admin", name_prefix="acme-")
    text, key = ring.create("me", "admin")
    bound = key.model_copy(update={"name_prefix": "acme-"})
    store.put(f"keys/{key.id}.json", bound.model_dump_json().encode())
    with pytest.raises(AccessError, match="acme-"):
        ring.find(text, "admin")
    assert ring.find(text, "operate").id == key.id


async def test_priority_ends_at_what_the_key_says(desk: Desk, store: MemoryStore) -> None:
    async with client_with(desk, store, "submit", max_priority=5) as client:
        manifest = manifest_of(await upload(client, 1, 2), "fox", recipe="fast")
        refused = await client.post("/v1/jobs?priority=6", json=manifest)
        assert refused.status_code == 403
        assert refused.json()["error"]["param"] == "priority"
        assert desk.learning.job_store.jobs() == []
        told = await client.post("/v1/jobs?priority=5", json=manifest)
        assert desk.learning.job_store.load(told.json()["id"]).priority == 5
    async with client_with(desk, store, "operate") as client:
        assert (await client.post("/v1/jobs?priority=1", json=manifest)).status_code == 403
        assert (await client.post("/v1/jobs?priority=-3&dry_run=1", json=manifest)).status_code == 200


class CountingStore(MemoryStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.num_reads = 0

    def get(self, key: str) -> StoredObject:
        self.num_reads += 1
        return super().get(key)


def invented(number: int) -> str:
    return f"ti_{number:012x}_{'x' * 43}"


def send(ring: KeyRing, text: str, address: str) -> str:
    try:
        return ring.find(text, "generate", address).id
    except (AccessError, OverloadedError) as error:
        return error.code


def test_invented_keys_of_one_address_cost_the_store_little_and_others_nothing() -> None:
    store, now = CountingStore(), [0.0]
    ring = KeyRing(store, clock=lambda: now[0])
    text, key = KeyRing(store).create("me", "generate")
    said = [send(ring, invented(number), "10.0.0.1") for number in range(1000)]
    assert said.count("access_denied") == store.num_reads == 30
    assert set(said[30:]) == {"overloaded"}
    assert send(ring, text, "10.0.0.2") == key.id
    assert send(ring, text, "10.0.0.1") == key.id  # remembered: it does not ask
    now[0] = 60.0
    assert send(ring, invented(5000), "10.0.0.1") == "access_denied"


def test_whoever_has_many_addresses_of_one_network_is_one(store: MemoryStore) -> None:
    ring = KeyRing(store, clock=lambda: 0.0)
    said = [send(ring, invented(number), f"2001:db8::{number:x}") for number in range(100)]
    assert said.count("access_denied") == 30


def test_keys_that_exist_are_not_counted_however_many_there_are(store: MemoryStore) -> None:
    made = [KeyRing(store).create("me", "generate") for _ in range(100)]
    ring = KeyRing(store, clock=lambda: 0.0)
    assert [send(ring, text, "10.0.0.1") for text, _ in made] == [key.id for _, key in made]


def test_invented_keys_push_out_none_that_exists() -> None:
    store, now = UnsteadyStore(), [0.0]
    ring = KeyRing(store, clock=lambda: now[0])
    text, key = KeyRing(store).create("me", "generate")
    assert send(ring, text, "10.0.0.1") == key.id
    for number in range(10_050):
        send(ring, invented(number), f"10.{number // 250}.{number % 250}.1")
    store.is_down = True
    now[0] = 60.0
    assert send(ring, text, "10.0.0.1") == key.id


async def test_too_many_unknown_keys_are_a_429(desk: Desk) -> None:
    async with client_of(desk, "10.0.0.9") as client:
        replies = [
            await client.get("/v1/models", headers={"authorization": f"Bearer {invented(number)}"})
            for number in range(31)
        ]
    assert [reply.status_code for reply in replies] == [401] * 30 + [429]
    assert int(replies[-1].headers["retry-after"]) >= 1
