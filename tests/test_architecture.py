"""The plan of the house: imports go one way, tasks and backends are asked in one place."""

import ast
import re
from pathlib import Path

import nlrn_tf

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nlrn_tf"

# From the ground up: a part imports from its own row or from rows above it in this list.
STOREYS = [
    {"errors", "machine"},
    {"files", "storage", "settings", "progress", "precision", "backend"},
    {"imaging"},
    {"tasks"},
    {"config", "cli"},
    {"layers"},
    {"model"},
    {"datasets", "weights"},
    {"data"},
    {"restoration"},
    {"training", "evaluation", "export", "batch"},
    {"studies"},
    {"web"},
    {"commands", "demo"},
]
STOREY_OF = {part: number for number, storey in enumerate(STOREYS) for part in storey}

MOST_MODULES, MOST_LINES = 12, 320


def modules(folder=PACKAGE):
    return sorted(path for path in folder.rglob("*.py") if path.stem != "__init__")


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """The modules of the package that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nlrn_tf"):
            module = node.module
            for alias in node.names:
                deeper = PACKAGE.joinpath(*f"{module}.{alias.name}".split(".")[1:])
                is_module = deeper.with_suffix(".py").exists() or deeper.is_dir()
                yield f"{module}.{alias.name}" if is_module else module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("nlrn_tf."))


def test_every_part_has_a_storey():
    parts = {part_of(path) for path in modules()}
    assert parts == set(STOREY_OF)


def test_contributors_are_shown_the_same_plan():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| part of `nlrn_tf/` |") :].split("\n\n")[0].splitlines()[2:]
    rows = [set(re.findall(r"`(\w+)/?`", row.split("|")[1])) for row in table]
    assert rows == STOREYS


def test_no_import_goes_up():
    for path in modules():
        for module in imported(path):
            part = module.split(".")[1] if "." in module else None
            if part in STOREY_OF:
                assert STOREY_OF[part] <= STOREY_OF[part_of(path)], f"{path} imports {module}"


def test_no_circle():
    imports = {}
    for path in modules():
        name = ".".join(("nlrn_tf", *path.relative_to(PACKAGE).with_suffix("").parts))
        imports[name] = set(imported(path))
    done = set()
    while imports:
        free = [name for name, needed in imports.items() if not (needed - {name}) & set(imports)]
        assert free, f"a circle among {sorted(imports)}"
        for name in free:
            done.add(name)
            del imports[name]


def test_the_network_is_read_from_the_top():
    """model, recurrent, non_local, attention: each knows only those after it."""
    order = ["model", "layers.recurrent", "layers.non_local", "layers.attention"]
    for number, module in enumerate(order):
        target = PACKAGE.joinpath(*module.split("."))
        files = modules(target) if target.is_dir() else [target.with_suffix(".py")]
        earlier = tuple(f"nlrn_tf.{name}" for name in order[:number])
        for path in files:
            assert not [m for m in imported(path) if m.startswith(earlier)], path


def test_few_modules_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_MODULES


def test_no_file_is_long():
    folders = ("nlrn_tf", "data_tools", "maintenance", "benchmarks", "serving", "tests", "csrc")
    files = [*ROOT.glob("*.py"), *(p for folder in folders for p in (ROOT / folder).rglob("*.*"))]
    for path in files:
        if path.suffix in (".py", ".c", ".h"):
            assert len(path.read_text().splitlines()) <= MOST_LINES, path


def test_only_tasks_tell_tasks_apart():
    for path in modules():
        if part_of(path) != "tasks":
            found = re.findall(r"""[!=]= ?["'](?:denoise|sr)["']""", path.read_text())
            assert not found, path


def test_only_the_backend_module_asks_for_the_backend():
    for path in modules():
        if path != PACKAGE / "backend.py":
            text = path.read_text()
            assert "backend.backend()" not in text, path
            assert not re.search(r"^\s*(import|from) jax\b", text, re.MULTILINE), path


def test_packages_of_wings_are_empty():
    """Or `--help` would load TensorFlow."""
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent != PACKAGE:
            assert not path.read_text().strip(), path


def test_tests_mirror_the_package():
    for folder in PACKAGE.rglob("*/"):
        if folder.is_dir() and list(folder.glob("*.py")) and folder.name != "commands":
            assert (ROOT / "tests" / folder.relative_to(PACKAGE)).is_dir(), folder


def test_public_names_are_shown():
    assert set(nlrn_tf.__all__) <= set(dir(nlrn_tf))
    for name in nlrn_tf.__all__:
        assert getattr(nlrn_tf, name) is not None
