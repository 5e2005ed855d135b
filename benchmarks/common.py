"""What the benchmarks share: the machine, processes of their own, and how they report."""

import concurrent.futures
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
from collections.abc import Callable, Collection
from concurrent.futures.process import BrokenProcessPool

from rich.console import Console
from rich.table import Table

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_text
from nlrn_tf.machine import num_cores, processor_features, processor_name

_WIDTH = 110  # at least, in characters
_PACKAGES = ("tensorflow", "keras", "numpy")
# What the kernels and the choice of the precision depend on.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
OPERATIONS = "TensorFlow's operations"


def machine() -> dict:
    """The processor, the memory, and the versions of what computes."""
    features = processor_features()
    return {
        "cpu": processor_name(),
        "instructions": " ".join(name for name in _INSTRUCTIONS if name in features),
        "cores": num_cores(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 1),  # of the minute before: others at work?
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def attention_by(precision: str, channels: Collection[int]) -> str:
    """What attends in the windows of whole images: "kernel for avx2", or `OPERATIONS`.

    Args:
      precision: of the products, "float32" or "bfloat16".
      channels: of the embeddings and of the states.
    """
    from nlrn_tf.layers.attention import kernel  # loads TensorFlow

    variant = kernel.variant_for(precision, channels)
    return f"kernel for {variant}" if variant else OPERATIONS


def in_a_process(described: str, advice: str, function: Callable, *arguments):
    """`function(*arguments)` in a process of its own, whose peak of memory is that of the call.

    Args:
      described: what it is, for the message.
      advice: what to do when memory runs out.
      function: at the top of a module; it and the rest are pickled.

    Raises:
      NLRNError: the process was ended from outside, as it is when memory runs out.
    """
    # Not a fork: it would have this process's TensorFlow and its memory.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
        try:
            return process.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise NLRNError(
                f"{described} was ended from outside; was there too little memory? {advice}"
            ) from error


def peak_mib() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def report(
    title: str, settings: dict, rows: list[dict], json_path: str | os.PathLike | None = None
) -> None:
    """Prints a table, and writes the same as JSON.

    Args:
      title: what was measured.
      settings: what it was measured with; shown below the table.
      rows: of the table, with the same keys, which are the titles of the columns. Floats are shown
        with four significant digits, None as nothing.
      json_path: file for {"title", "date", "machine", "settings", "rows"}; None writes none.

    Raises:
      NLRNError: the file cannot be written.
    """
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    described = {**machine(), "date": date}
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        justify = "left" if isinstance(rows[0][name], str) else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)
    console.print(table)
    console.print(_listed(settings), _listed(described), sep="\n", markup=False)
    if json_path is not None:
        content = {
            "title": title,
            "date": date,
            "machine": machine(),
            "settings": settings,
            "rows": rows,
        }
        write_text(json_path, json.dumps(content, indent=1) + "\n")


def _listed(values: dict) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
