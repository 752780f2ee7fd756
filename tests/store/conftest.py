"""Stores beside the one of the session's server."""

import secrets
from collections.abc import Callable

import pytest

from textinv.settings import StoreSettings
from textinv.store import S3Store, connect_store


@pytest.fixture
def make_store(s3_settings: StoreSettings) -> Callable[[str], S3Store]:
    """Makes further stores in the session's bucket, each at a prefix of its own."""

    def make(label: str) -> S3Store:
        return connect_store(s3_settings.model_copy(update={"prefix": f"{label}-{secrets.token_hex(4)}"}))

    return make
