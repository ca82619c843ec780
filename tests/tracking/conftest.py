import pytest

wandb = pytest.importorskip("wandb")

from .wandb_runs import FAKE_KEY  # noqa: E402
from .wandb_server import WandbServer  # noqa: E402

FOLDERS = ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR", "ARTIFACT_DIR", "DIR")


@pytest.fixture(autouse=True)
def _no_account(tmp_path_factory, monkeypatch):
    """No key, no settings, no proxy and no service process of the user or of another test."""
    for name in ("API_KEY", "BASE_URL", "MODE", "PROJECT", "ENTITY"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in FOLDERS:
        monkeypatch.setenv(f"WANDB_{name}", str(home))
    yield
    wandb.teardown()


@pytest.fixture
def server(_no_account, monkeypatch):
    """A server that the client finds and has a key for; it sends what it logs every second, not every fifteen."""
    found = WandbServer()
    monkeypatch.setenv("WANDB_BASE_URL", found.url)
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    for name in ("TRANSMIT_INTERVAL", "RETRY_WAIT_MIN_SECONDS", "RETRY_WAIT_MAX_SECONDS"):
        monkeypatch.setenv(f"WANDB_X_FILE_STREAM_{name}", "1")
    monkeypatch.setenv("WANDB_X_DISABLE_STATS", "true")
    yield found
    wandb.teardown()
    found.close()
    assert set(found.unknown) <= {"ArtifactType"}, "the client asks for something new"
