"""The package as a wheel: built from a copy of the sources, used from another folder."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from skimage import data

import nlrn_tf
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import add_gaussian_noise

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
NAMES = ("batch", "eval", "export", "maps", "restore", "study", "train", "web")
COMMANDS = tuple(f"nlrn-{name}" for name in NAMES)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the package is installed, without what it needs, which this environment has."""
    sources = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy(ROOT / name, sources)
    for name in ("nlrn_tf", "csrc"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / name, sources / name, ignore=ignored)
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", f"--target={target}"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, sources], check=True)
    return target


def call(installed, command, *arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, installed / "bin" / command, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_photograph_is_restored_from_another_folder(installed, tmp_path):
    clean = data.camera()[96:160, 192:256]
    nlrn_tf.write_image(tmp_path / "noisy.png", to_uint8(add_gaussian_noise(clean, 25, seed=0)))
    arguments = ("noisy.png", "-o", "clean.png", "--weights=denoise_lite_s25")
    done = call(installed, "nlrn-restore", *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    noisy, restored = (nlrn_tf.read_image(tmp_path / f"{name}.png") for name in ("noisy", "clean"))
    assert psnr(clean, restored) > psnr(clean, noisy) + 7


@pytest.mark.slow
def test_messages_name_what_was_typed(installed, tmp_path):
    done = call(installed, "nlrn-restore", "missing.png", "-o", "clean.png", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("nlrn-restore: missing.png: ")
    for command in COMMANDS:
        shown = call(installed, command, "--help", folder=tmp_path)
        assert shown.returncode == 0
        assert re.search(rf"^ *{command} \S", shown.stdout, re.MULTILINE)
        assert "python" not in shown.stdout


@pytest.mark.slow
def test_the_wheel_is_complete_and_has_nothing_else(installed):
    [found] = importlib.metadata.distributions(path=[str(installed)])
    assert (found.name, found.version) == ("nlrn-tf", nlrn_tf.__version__)
    assert {path.name for path in (installed / "bin").iterdir()} == set(COMMANDS)
    assert {path.name for path in installed.glob("[!.]*")} == {
        "bin",
        "nlrn_tf",
        f"nlrn_tf-{nlrn_tf.__version__}.dist-info",
    }
    ours = {
        path.relative_to(ROOT)
        for path in (ROOT / "nlrn_tf").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }
    assert ours == {
        path.relative_to(installed)
        for path in (installed / "nlrn_tf").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }


def test_the_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {nlrn_tf.__version__}\n" in citation
    assert f"\n## {nlrn_tf.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
