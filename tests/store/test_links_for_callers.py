"""Links to objects: made for whoever asks from outside, who may see the server under another name."""

import urllib.request
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from textinv.settings import Settings, StoreSettings
from textinv.store import EmbeddedServer, connect_store, ensure_store

pytestmark = pytest.mark.store


def test_a_link_names_the_host_that_callers_see_and_works_there(s3_settings: StoreSettings) -> None:
    inside = str(s3_settings.endpoint_url)
    outside = inside.replace("127.0.0.1", "localhost")
    store = connect_store(s3_settings.model_copy(update={"public_endpoint_url": outside}))
    store.put("picture", b"pixels")
    link = store.presign("picture", 60)
    assert link.startswith(f"{outside}/")
    assert urllib.request.urlopen(link).read() == b"pixels"
    assert connect_store(s3_settings).presign("picture", 60).startswith(f"{inside}/")


def test_the_embedded_store_is_linked_by_its_public_name_too(s3_server: EmbeddedServer) -> None:
    told = StoreSettings(public_endpoint_url="https://pictures.example")
    link = ensure_store(Settings(home=s3_server.folder.parent, store=told)).presign("a", 60)
    assert urlsplit(link).netloc == "pictures.example"


@pytest.mark.parametrize("said", ["pictures.example", "https://host/bucket", "ftp://host", "https://"])
def test_a_public_name_that_links_could_not_have_is_refused(said: str) -> None:
    with pytest.raises(ValidationError, match="https://host"):
        StoreSettings(public_endpoint_url=said)
