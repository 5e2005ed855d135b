import pytest

from tests.support.web import save_small_denoiser


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.keras"
    save_small_denoiser(path)
    return str(path)
