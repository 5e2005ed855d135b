import pytest

from nlrn_tf.web import desk
from tests.support.web import Work, save_small_denoiser


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.keras"
    save_small_denoiser(path)
    return str(path)


@pytest.fixture
def work(monkeypatch):
    """In place of restoring images."""
    work = Work()
    monkeypatch.setattr(desk, "restore_upload", work)
    yield work
    work.released.set()
