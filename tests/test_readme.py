"""Runs the commands of the README, of CONTRIBUTING.md and of docs/, so that they keep working.

They run in their order in one folder that looks like the repository, on data sets of tiny images
made here. What would take long is cut short by flags appended to the command (`SHORTER`).
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.datasets.benchmarks import BENCHMARKS
from nlrn_tf.imaging.files import write_image
from nlrn_tf.studies.members import STUDIES
from nlrn_tf.weights.level_choice import FULL, LITE
from nlrn_tf.weights.manifest import packaged_names

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
FOLDERS = ("benchmarks", "data_tools", "docs", "maintenance", "nlrn_tf", "serving")
DOCUMENTS = [*ROOT.glob("*.md"), *(p for name in FOLDERS for p in (ROOT / name).rglob("*.md"))]
SMALL_RUN = (
    "filters=4 embedding_size=2 window_size=9 num_states=1 patch_size=9 batch_size=2 steps=4 "
    "init_weights="
)
SHORTER = {
    "run_eval.py": ["--max_images=1"],
    "run_restore.py": [],
    "run_batch.py": [],
    "run_study.py": ["--smoke"],
    "run_maps.py": [],
    "run_web.py": ["--port=0"],  # it is ended when it is there
    "run_train.py": [f"--{flag}" for flag in SMALL_RUN.split()],
    "data_tools/make_records.py": [],
    "data_tools/check_records.py": [],
    "maintenance/compare_recipes.py": ["--steps=2", "--seeds=0", "--only=denoise"],
    "maintenance/plot_curve.py": [],
    "maintenance/compare_crops.py": ["--help"],
    "maintenance/results_table.py": [],
    "run_export.py": [],
    # The real ones; {...} is the folder of a fixture, without which the test is skipped.
    "data_tools/prepare_datasets.py": ["--sets=Set14", "--from={data_dir}/Set14"],
    "data_tools/import_released.py": ["--saved_model={reference_dir}/released_sigma15"],
}


def blocks(language):
    """The code blocks of the pages in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


TOOLS = [
    ROOT / "maintenance" / f"{name}.py"
    for name in ("compare_crops", "compare_recipes", "plot_curve", "results_table")
]
COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
SLOW = ("run_export.py", "KERAS_BACKEND=jax")
CASES = [
    pytest.param(line, marks=pytest.mark.slow) if any(name in line for name in SLOW) else line
    for line in COMMANDS
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scripts, the package, and what the commands read."""
    folder = tmp_path_factory.mktemp("repository")
    linked = (
        "nlrn_tf",
        "data_tools",
        "maintenance",
        "flags",
        "README.md",
        "docs",
        "Makefile",
        "setup.cfg",
        "setup.py",
    )
    for name in (*linked, "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    for script in ROOT.glob("run_*.py"):
        (folder / script.name).symlink_to(script)
    rng = np.random.default_rng(0)

    def make(path):
        write_image(folder / path, rng.integers(0, 256, (40, 44, 3), np.uint8))

    for path in ("noisy.png", "photos/one.png", "photos/two.jpg"):
        make(path)
    sets = {benchmark.folder for benchmark in BENCHMARKS.values()} - {"Set14"}
    for name in sets:
        make(f"data/{name}/image.png")
    make("data/BSDS500/val/101085.png")  # of CBSD68
    recipes = "".join(path.read_text() for path in (ROOT / "flags").rglob("*.cfg"))
    for name in {"T91/t1", *re.findall(r"BSDS500/\w+/\d+", recipes)}:
        make(f"data/{name}.jpg")
    return folder


@pytest.mark.parametrize("command", CASES)
def test_command(command, folder, request):
    words = shlex.split(command)
    variables = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if words[0] == "make":
        words.insert(1, "--dry-run")  # the tests run under one of them
    else:
        assert words[0] == "python", "only `make` and `python` commands are expected"
        words[0] = sys.executable
        words += [_filled_in(flag, request) for flag in SHORTER[words[1]]]
        if words[1] == "run_study.py" and "--only=" not in command:
            study = re.search(r"--study=(\w+)", command)[1]
            words.append(f"--only={next(iter(STUDIES[study].members))}")
        if words[1] in ("run_eval.py", "run_study.py"):
            words.append("--data_dir=data")
        if words[1] == "run_web.py":
            pytest.importorskip("gradio", reason="Gradio is not installed: no page is served")
            _serve(words, folder)
            return
        if "--weights=released_s15.keras" in words:
            request.getfixturevalue("reference_dir")  # it is imported by a command before
    _run(words, folder, variables)


@pytest.mark.parametrize("program", blocks("python"))
def test_program(program, folder):
    _run([sys.executable, "-c", program], folder)


def test_the_picture_is_that_of_the_demo():
    """`make picture` copies it."""
    from nlrn_tf.imaging.files import read_image

    height, width = read_image(ROOT / "docs" / "demo.png").shape
    assert (height > 256, width) == (True, 3 * 256 + 2 * 8)


def test_every_script_is_shown():
    scripts = [*ROOT.glob("run_*.py"), *ROOT.glob("data_tools/[a-z]*.py"), *TOOLS]
    names = {str(path.relative_to(ROOT)) for path in scripts}
    assert names == set(SHORTER)
    for name in SHORTER:
        assert any(f"python {name} " in command for command in COMMANDS), name
    for path in (ROOT / "flags").glob("*.cfg"):
        assert any(f"--flagfile=flags/{path.name} " in command for command in COMMANDS), path


def test_named_weights_are_packaged():
    named = re.findall(r'--weights=(\w+)\b(?!\.)|load_model\("(\w+)"', TEXT)
    assert named
    assert {name for pair in named for name in pair if name} <= {*packaged_names(), FULL, LITE}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        if "://" not in link:
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not heading or heading in _headings(target), link
            assert target.resolve().is_relative_to(ROOT), link


def test_the_readme_leads_to_every_page():
    text = (ROOT / "README.md").read_text()
    for page in PAGES[1:]:
        assert f"]({page.relative_to(ROOT)})" in text


def _headings(page):
    """The headings of a page as they stand in links."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def _filled_in(flag, request):
    return re.sub(r"{(\w+)}", lambda match: str(request.getfixturevalue(match[1])), flag)


def _run(words, folder, variables=()):
    environment = {k: v for k, v in os.environ.items() if k != "NLRN_DATA_DIR"} | dict(variables)
    # Small alike, the networks of most recipes share their programs.
    environment["JAX_COMPILATION_CACHE_DIR"] = str(folder / "programs")
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def _serve(words, folder):
    """Waits for the address that a server tells, then ends it by Ctrl-C."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=folder, **pipes) as server:
        assert "http://127.0.0.1:" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        rest, complaints = server.communicate()
    assert (server.returncode, rest, complaints) == (0, "", "")
