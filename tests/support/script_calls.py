"""Which call of the library a script makes for its flags, without making it.

In a process of its own: absl has one set of flags a process, and each script defines its own.
"""

import pickle
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import importlib, pickle, sys, types
from absl.testing import flagsaver
from nlrn_tf import cli

path = sys.argv[1]
with open(path, "rb") as file:
    script, module, function, takes_arguments, commands, returned = pickle.load(file)
stub = types.ModuleType(module)
sys.modules[module] = stub
parent, _, last = module.rpartition(".")
setattr(importlib.import_module(parent), last, stub)
cli.start_tensorflow = lambda: None
script = importlib.import_module(f"nlrn_tf.commands.{script}")
script.define_flags()
found = []
for command in commands:
    calls = []

    def record(*positional, **named):
        plain = {k: v for k, v in named.items() if isinstance(v, str | int | float | list | None)}
        calls.append((positional, plain))
        return returned

    setattr(stub, function, record)
    sys.argv = ["script", *command]
    try:
        with flagsaver.flagsaver():
            cli.run(script.main, takes_arguments=takes_arguments)
    except SystemExit as ended:
        found.append((ended.code, *calls))
with open(path, "wb") as file:
    pickle.dump(found, file)
"""


def script_calls(folder, script, function, commands, takes_arguments=False, returned=1):
    """The calls that a script makes.

    Args:
      folder: for a temporary file.
      script: name of its module in nlrn_tf/commands, such as "evaluate".
      function: with its module, such as "nlrn_tf.evaluation.evaluate.evaluate_all".
      commands: lists of arguments.
      takes_arguments: see `nlrn_tf.cli.run`.
      returned: what the function returns.

    Returns:
      For each command the exit code, and of a call the positional arguments and those named ones
      that are numbers, strings, lists or None.
    """
    path = folder / "calls.pickle"
    module, _, name = function.rpartition(".")
    path.write_bytes(pickle.dumps((script, module, name, takes_arguments, commands, returned)))
    subprocess.run([sys.executable, "-c", _PROGRAM, path], cwd=ROOT, check=True)
    return pickle.loads(path.read_bytes())
