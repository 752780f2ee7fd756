"""Keys in a mounted settings file that are renewed while a store is used."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from textinv.errors import StoreCredentialsError
from textinv.settings import StoreSettings
from textinv.store import S3Store

pytestmark = pytest.mark.store


def test_a_store_goes_on_with_the_keys_that_its_settings_file_has_now(
    s3_settings: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"

    def mount(settings: StoreSettings) -> None:
        assert settings.secret_key is not None
        told = settings.model_dump(exclude_none=True, mode="json") | {
            "secret_key": settings.secret_key.get_secret_value()
        }
        file.write_text("[store]\n" + "".join(f'{name} = "{value}"\n' for name, value in told.items()))

    expired = s3_settings.model_copy(update={"access_key": "expired", "secret_key": SecretStr("gone")})
    mount(expired)
    monkeypatch.setenv("TEXTINV_CONFIG", str(file))
    store = S3Store(expired)
    with pytest.raises(StoreCredentialsError):
        store.put("a", b"1")
    mount(s3_settings.model_copy(update={"bucket": "another"}))
    with pytest.raises(StoreCredentialsError):
        store.put("a", b"1")
    mount(s3_settings)
    store.put("a", b"1")
    assert store.get("a").body == b"1"
