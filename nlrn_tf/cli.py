"""What the commands share: flags, starting, stopping, and reports of what went wrong."""

import dataclasses
import os
import re
import sys
import tempfile
import types
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from absl import flags
from absl import logging as absl_logging

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError, printable, reason_of
from nlrn_tf.settings import choices_of
from nlrn_tf.storage import streams
from nlrn_tf.storage.flag_file import flags_of

# The modules that call `define_flags` have the flags.
flags.disclaim_key_flags()

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is first imported

_MOST_NESTED = 20  # flag files

INTERRUPTED = 130  # the shell's exit code for a program ended by Ctrl-C


def run(
    main: Callable[[list[str]], None],
    *,
    help: str | None = None,
    command: str | None = None,
    takes_arguments: bool = False,
    first: Sequence[str] = (),
) -> None:
    """Parses the flags, runs `main(arguments)` and ends the process.

    `help` is what `--help` shows above the flags; by default the docstring of the program. The
    name `command` in it is replaced by what the user has typed, such as `python run_eval.py`. The
    flags `first` are shown after its first two paragraphs, the others after the rest.

    Exit code 0 on success and for `--help`, 1 for a problem that the user can mend (one line
    on standard error), 2 for a wrong flag, 130 after Ctrl-C. Flags and positional arguments
    may be mixed; `main` receives the positional ones, which are a wrong flag where it takes none.
    """
    flags.FLAGS.set_gnu_getopt(True)
    streams.make_lasting()
    absl_logging.set_verbosity(absl_logging.WARNING)
    help = help or sys.modules["__main__"].__doc__ or ""
    if command is not None:
        help = help.replace(command, _typed())
    code = _guarded(main, help, takes_arguments, first)
    unwritten = streams.problem()
    if unwritten is not None:
        code = _complain(f"standard output: cannot be written ({reason_of(unwritten)})", code or 1)
    sys.exit(code)


def start_tensorflow() -> None:
    """Settles Keras' backend and imports TensorFlow.

    What it prints to standard error on a machine without a GPU is held back; no setting silences
    it. Where there is a GPU it says what is missing to use it, and is shown.

    Raises:
      NLRNError: the backend that the environment chooses is not there.
    """
    backend.settle()
    if Path("/dev/nvidiactl").exists():
        return
    with tempfile.TemporaryFile() as kept_back:
        stderr = os.dup(2)
        os.dup2(kept_back.fileno(), 2)
        try:
            backend.tensorflow_gpus()
        except BaseException:
            kept_back.seek(0)
            os.write(stderr, kept_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def define_flags(
    settings_class: type, *, skip: Collection[str] = (), only: Collection[str] = ()
) -> None:
    """Defines a flag for each field of a settings class (`nlrn_tf.settings.setting`).

    Args:
      settings_class: a dataclass.
      skip: fields that get no flag.
      only: the fields that get one; empty for all.
    """
    define: dict[type, Callable] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
    }
    for field, kind in _fields(settings_class, skip, only):
        text, choices = field.metadata["help"], choices_of(field)
        if choices:
            flags.DEFINE_enum(field.name, field.default, choices, text)
        elif typing.get_origin(kind) is tuple:
            flags.DEFINE_list(field.name, [_text(item) for item in field.default], text)
        else:
            define.get(kind, flags.DEFINE_string)(field.name, field.default, text)


def flag_values(
    settings_class: type, *, skip: Collection[str] = (), only: Collection[str] = ()
) -> dict:
    """The values of the flags that `define_flags` has made, typed as the fields are.

    Raises:
      flags.Error: an item of a list is not of its type.
    """
    values = {}
    for field, kind in _fields(settings_class, skip, only):
        value = flags.FLAGS[field.name].value
        if isinstance(value, list):
            item_kind = typing.get_args(kind)[0]
            try:
                value = tuple(item_kind(item) for item in value)
            except ValueError as error:
                raise flags.Error(f"{field.name}={','.join(value)}: {error}") from error
        values[field.name] = value
    return values


def with_flags(error: Exception) -> str:
    """The message of the library, whose arguments are flags of this program."""

    def as_flag(match: re.Match) -> str:
        return f"--{match[1]}" if match[1] in flags.FLAGS else match[1]

    return re.sub(r"(?<![\w/.-])(\w+)(?==)", as_flag, str(error))


def _typed() -> str:
    """How the user has called the program, without the folder of an installed command."""
    program = sys.argv[0]
    return f"python {program}" if program.endswith(".py") else Path(program).name


def _text(item: object) -> str:
    return f"{item:g}" if isinstance(item, float) else str(item)


def _fields(settings_class: type, skip: Collection[str], only: Collection[str]):
    """The fields of a settings class, each with its type, without None."""
    hints = typing.get_type_hints(settings_class)
    for field in dataclasses.fields(settings_class):
        if field.name not in skip and (not only or field.name in only):
            kind = hints[field.name]
            if isinstance(kind, types.UnionType):
                kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
            yield field, kind


def _guarded(
    main: Callable[[list[str]], None], help: str, takes_arguments: bool, first: Sequence[str]
) -> int:
    if {"--help", "-h", "-help"} & set(sys.argv[1:]):  # absl's own --help exits with code 1
        _print_help(help, first)
        return 0
    try:
        arguments = flags.FLAGS([sys.argv[0], *_with_flagfiles(sys.argv[1:])])[1:]
    except flags.Error as error:
        return _complain(f"{_in_words(error)} (see --help)", 2)
    if arguments and not takes_arguments:
        return _complain(f"unexpected argument {arguments[0]} (see --help)", 2)
    try:
        main(arguments)
    except flags.Error as error:  # flags that contradict each other
        return _complain(f"{with_flags(error)} (see --help)", 2)
    except NLRNError as error:
        return _complain(with_flags(error), 1)
    except OSError as error:  # of the system, where the library has no better words
        return _complain(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    return 0


def _in_words(error: flags.Error) -> str:
    """What absl says of a wrong flag, as a sentence for a person."""
    if isinstance(error, flags.UnrecognizedFlagError):
        guesses = error.args[0].partition("Did you mean: ")[2].rstrip(" ?").split(", ")
        shown = " or ".join(f"--{guess}" for guess in guesses if guess)
        meant = f"; did you mean {shown}?" if shown else ""
        return f"--{error.flagname}: there is no such flag{meant}"
    text = str(error)
    if found := re.fullmatch(r"Missing value for flag (\S+)", text):
        return f"{found[1]}: its value is missing"
    if found := re.match(r"flag --(\w+)=None: .* other than None", text):
        return f"--{found[1]} is missing. {flags.FLAGS[found[1]].help}"
    found = re.fullmatch(r"flag --(\w+)=(.*?): (.*)", text, re.DOTALL)
    if not found:
        return text
    name, value, said = found.groups()
    for pattern, words in _ILLEGAL.items():
        if match := re.search(pattern, said):
            said = words.format(", ".join(match[1].split("|")) if match.groups() else "")
    return f"--{name}={value}: {said}"


# What absl says of values, and what is said instead.
_ILLEGAL = {
    "^could not convert string to float": "must be a number",
    "^invalid literal for int": "must be a whole number",
    "Non-boolean argument": "must be true or false",
    "^value should be one of <(.*)>": "must be one of {}",
}


def _print_help(help: str, first: Sequence[str]) -> None:
    """The flags of the program; absl's own, of logging and testing, are left out."""
    own = [
        module
        for module in flags.FLAGS.flags_by_module_dict()
        if not module.startswith(("absl.", "pytest"))
    ]
    shown: dict[str, str] = {}
    for module in own:
        lines = flags.FLAGS.module_help(module).splitlines()
        text = "\n".join(line for line in lines if line.startswith(" "))
        for flag in re.split(r"\n(?=  -)", text):
            if name := re.search(r"--(?:\[no\])?(\w+)", flag):
                shown[name[1]] = flag
    shown["flagfile"] = "  --flagfile: File of flags, one a line, in place of this one."
    if first:
        title, commands, rest = help.strip().split("\n\n", 2)
        most = "\n".join(shown.pop(name) for name in first)
        help = f"{title}\n\n{commands}\n\nwhat most people need:\n\n{most}\n\n{rest}"
    print(f"{help.strip()}\n\n{'all other ' * bool(first)}flags:\n")
    print("\n".join(shown.values()))


def _with_flagfiles(
    arguments: Sequence[str], folder: Path = Path(), within: tuple[Path, ...] = ()
) -> list[str]:
    """Puts the flags of each --flagfile in its place.

    absl does too, but takes a path inside a flag file from the current folder, not from the
    file's.
    """
    flat = []
    remaining = iter(arguments)
    for argument in remaining:
        name, given, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            flat.append(argument)
            continue
        name = value if given else next(remaining, "")
        try:
            path = (folder / Path(name).expanduser()).resolve()
            lines = flags_of(path)
        except Exception as error:  # such as those of no home folder, and of circles of links
            where = f"--flagfile={name}"
            raise flags.Error(f"{where}: cannot be read ({reason_of(error)})") from error
        if path in within:
            raise flags.Error(f"--flagfile={path}: includes itself")
        if len(within) == _MOST_NESTED:
            raise flags.Error(f"--flagfile={path}: is nested more than {_MOST_NESTED} files deep")
        flat += _with_flagfiles(lines, path.parent, (*within, path))
    return flat


def _complain(message: str, code: int) -> int:
    line = printable(" ".join(message.split()))
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    return code
