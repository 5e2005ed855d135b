import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from nlrn_tf import cli
from nlrn_tf.datasets import location
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.restoration.settings import OutputSettings, RestorationSettings
from nlrn_tf.studies.settings import StudySettings
from nlrn_tf.training.settings import TrainingConfig

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ["run_train.py", "run_eval.py", "run_restore.py", "run_export.py"]
SCRIPTS += ["run_study.py", "run_maps.py"]
SCRIPTS += [f"data_tools/{path.name}" for path in (ROOT / "data_tools").glob("[!_]*.py")]
SCRIPTS += [f"maintenance/{name}.py" for name in ("compare_crops", "plot_curve")]
SCRIPTS += [f"maintenance/{name}.py" for name in ("package_weights", "results_table")]


def _exit_code(monkeypatch, main, *arguments):
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.run(main, takes_arguments=True)
    return stop.value.code


def test_success_passes_the_arguments_and_ends_with_0(monkeypatch):
    seen = []
    assert _exit_code(monkeypatch, seen.extend, "a.png", "b.png") == 0
    assert seen == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NLRNError("a.png: broken,\ntry another"), 1),
        (flags.Error("--a contradicts --b"), 2),
        (KeyboardInterrupt(), 130),
        (OSError(36, "File name too long", "x\ny"), 1),
    ],
)
def test_errors_of_the_user_are_one_line(monkeypatch, capsys, error, code):
    def main(_):
        raise error

    assert _exit_code(monkeypatch, main) == code
    written = capsys.readouterr().err
    assert written.startswith("script.py: ")
    assert written.count("\n") == 1


def test_an_error_of_the_program_is_not_swallowed(monkeypatch):
    def main(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(sys, "argv", ["script.py"])
    with pytest.raises(RuntimeError):
        cli.run(main)


def test_an_argument_is_refused_where_none_is_taken(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script.py", "steps=5"])
    with pytest.raises(SystemExit) as stop:
        cli.run(print)
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", "script.py: unexpected argument steps=5 (see --help)\n")


def test_an_unknown_flag_ends_with_2(monkeypatch, capsys):
    assert _exit_code(monkeypatch, print, "--no_such_flag=1") == 2
    assert "no_such_flag" in capsys.readouterr().err


def test_data_dir_is_given_or_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("NLRN_DATA_DIR", "somewhere")
    assert location.data_dir() == "somewhere"
    assert location.data_dir(Path("elsewhere")) == "elsewhere"
    monkeypatch.delenv("NLRN_DATA_DIR")
    assert Path(location.data_dir()) == ROOT / "data"


def test_an_installed_package_has_no_repository_around_it(monkeypatch, tmp_path):
    monkeypatch.delenv("NLRN_DATA_DIR", raising=False)
    monkeypatch.setattr(location, "_ABOVE", tmp_path)
    assert location.data_dir() == "data"


@pytest.mark.parametrize(
    ("program", "shown"),
    [("/usr/bin/nlrn-x", "nlrn-x in.png"), ("tools/run_x.py", "python tools/run_x.py in.png")],
)
def test_help_names_what_was_typed(monkeypatch, capsys, program, shown):
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit):
        cli.run(print, help="Does it.\n\n  nlrn-x in.png\n", command="nlrn-x")
    assert f"\n  {shown}\n" in capsys.readouterr().out


def _source(script):
    text = (ROOT / script).read_text()
    command = re.search(r"from nlrn_tf.commands import (\w+)", text)
    return (ROOT / f"nlrn_tf/commands/{command[1]}.py").read_text() if command else text


def _settings_classes(script):
    return {
        "run_train.py": [TrainingConfig],
        "run_eval.py": [EvaluationSettings],
        "run_restore.py": [RestorationSettings, OutputSettings],
        "run_study.py": [StudySettings],
    }.get(script, [])


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_lists_every_flag_and_loads_no_tensorflow(script):
    code = f"import sys, runpy; sys.argv = [{script!r}, '--help']\n"
    code += "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "except SystemExit as stop: assert stop.code == 0\n"
    code += "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    defined = re.findall(r'DEFINE_\w+\(\s*"(\w+)"', _source(script))
    for settings_class in _settings_classes(script):
        defined += [field.name for field in dataclasses.fields(settings_class)]
    assert defined
    for name in set(defined) - {"network", "training"}:
        assert f"--{name}" in done.stdout or f"--[no]{name}" in done.stdout


def test_importing_the_package_is_light():
    code = "import sys, nlrn_tf; assert 'tensorflow' not in sys.modules; nlrn_tf.NLRNConfig()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--words_number=x", "--words_number=x: must be a number"),
        ("--words_count=1.5", "--words_count=1.5: must be a whole number"),
        ("--words_kind=c", "--words_kind=c: must be one of a, b"),
        ("--words_bool=maybe", "--words_bool=maybe: must be true or false"),
        ("--words_numbr=1", "--words_numbr: there is no such flag; did you mean --words_number?"),
        ("--zzz=1", "--zzz: there is no such flag"),
        ("--words_count", "--words_count: its value is missing"),
        ("--words_bool", "--words_needed is missing. What is needed."),
        ("--words_count=-1", "--words_count=-1: -1 is not a non-negative integer"),
    ],
)
def test_wrong_flags_are_sentences(flag, sentence):
    code = (
        "from absl import flags; from nlrn_tf import cli\n"
        "flags.DEFINE_float('words_number', 1.0, 'x')\n"
        "flags.DEFINE_integer('words_count', 1, 'x', lower_bound=0)\n"
        "flags.DEFINE_enum('words_kind', 'a', ['a', 'b'], 'x')\n"
        "flags.DEFINE_bool('words_bool', False, 'x')\n"
        "flags.DEFINE_string('words_needed', None, 'What is needed.', required=True)\n"
        "cli.run(print)"
    )
    command = [sys.executable, "-c", code, flag]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"-c: {sentence} (see --help)\n")


def test_help_for_restoring_begins_with_what_people_need():
    command = [sys.executable, "run_restore.py", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if line.startswith("  ")]
    assert all(line.startswith("  python run_restore.py ") for line in lines[:3])
    flags_shown = re.findall(r"^  (?:-o,)?--(?:\[no\])?(\w+)", shown, re.MULTILINE)
    assert flags_shown[:5] == ["output", "noise_sigma", "weights", "task", "scale"]
    assert len(flags_shown) == len(set(flags_shown)) > 15
    assert shown.index("--scale") < shown.index("An input is never overwritten")
