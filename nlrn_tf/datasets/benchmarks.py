"""The benchmark sets of the paper, and the paper's figures for them."""

import dataclasses
import functools
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import find_images


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A set of test images.

    Attributes:
      folder: below the data folder.
      count: of its images.
      task: what it is mostly used for in the paper.
      colour: whether it is scored on RGB.
      names: of its images without suffix, where the folder holds others too; else empty.
      part_of: another folder that holds the same photographs; a network trained on it knows them.
      recipe: below `flags/`, one that does not train on its images.
      weights: the family of packaged weights that it is scored with by default, where those of the
        task were trained on its images.
      paper_name: what the paper's table calls it, where that is not its name.
      home: where it is got by hand, if `data_tools/prepare_datasets.py` does not get it.
      images: of a folder of people's own (`datasets.own`), where the set is one.
      pairs: of such a folder, the degraded image for each.
      skipped: what else such a folder holds, in a line.
    """

    folder: str
    count: int
    task: str
    colour: bool = False
    names: frozenset[str] = frozenset()
    part_of: str | None = None
    recipe: str = "denoise_s25.cfg"
    weights: str | None = None
    paper_name: str | None = None
    home: str | None = None
    images: tuple[Path, ...] = ()
    pairs: Mapping[Path, Path] = dataclasses.field(default_factory=dict)
    skipped: str | None = None


# The colour originals of BSD68 among BSDS500 val: their grey differs from it by rounding alone.
_CBSD68 = frozenset(
    [
        "101085",
        "101087",
        "102061",
        "103070",
        "105025",
        "106024",
        "108005",
        "108070",
        "108082",
        "109053",
        "119082",
        "12084",
        "123074",
        "126007",
        "130026",
        "134035",
        "14037",
        "143090",
        "145086",
        "147091",
        "148026",
        "148089",
        "157055",
        "159008",
        "160068",
        "16077",
        "163085",
        "167062",
        "167083",
        "170057",
        "175032",
        "175043",
        "182053",
        "189080",
        "19021",
        "196073",
        "197017",
        "208001",
        "210088",
        "21077",
        "216081",
        "219090",
        "220075",
        "223061",
        "227092",
        "229036",
        "236037",
        "24077",
        "241004",
        "241048",
        "253027",
        "253055",
        "260058",
        "271035",
        "285079",
        "291000",
        "295087",
        "296007",
        "296059",
        "299086",
        "300091",
        "302008",
        "304034",
        "304074",
        "306005",
        "3096",
        "33039",
        "351093",
    ]
)

BENCHMARKS = {
    "Set12": Benchmark("Set12", 12, "denoise"),
    "BSD68": Benchmark("BSD68", 68, "denoise", part_of="BSDS500/val"),
    "CBSD68": Benchmark("BSDS500/val", 68, "denoise", colour=True, names=_CBSD68),
    "BSD200": Benchmark(
        "BSDS500/test", 200, "denoise", recipe="paper/table5_s30.cfg", weights="table5"
    ),
    "S14": Benchmark(
        "S14",
        14,
        "denoise",
        recipe="paper/table5_s30.cfg",
        weights="table5",
        paper_name="14 images",
        home="https://github.com/tyshiwo/MemNet/tree/master/data/GaussianDenoising/S14",
    ),
    "Set5": Benchmark("Set5", 5, "sr"),
    "Set14": Benchmark("Set14", 14, "sr"),
    "BSD100": Benchmark("BSDS500/val", 100, "sr", recipe="sr.cfg"),
    "Urban100": Benchmark("Urban100", 100, "sr"),
}


def benchmark_images(
    name: str, data_dir: str | os.PathLike, max_images: int | None = None
) -> list[Path]:
    """The image files of a benchmark, sorted by name.

    The position in this list is the index by which the noise of an image is drawn.

    Args:
      name: one of `BENCHMARKS`.
      data_dir: the folder of the data sets.
      max_images: only the first ones; the set need not be complete then.

    Raises:
      NLRNError: unknown name, or the folder is missing, empty or does not hold the number of
        images that the set has.
    """
    if name not in BENCHMARKS:
        raise NLRNError(f"data set '{name}' is unknown; choose one of {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    folder = Path(data_dir) / benchmark.folder
    remedy = (
        f"`python data_tools/prepare_datasets.py --data_dir={data_dir} "
        f"--sets={benchmark.folder}` gets it "
        "(`--from=FOLDER` takes it from a local folder)"
    )
    if benchmark.home is not None:
        remedy = f"put the {benchmark.count} images of {benchmark.home} there"
    try:
        paths = find_images(folder)
    except NLRNError as error:
        raise NLRNError(f"{error}; this is where {name} is expected: {remedy}") from error
    if benchmark.names:
        paths = [path for path in paths if path.stem in benchmark.names]
        if not paths:
            raise NLRNError(f"{folder}: holds no image of {name}; {remedy}")
    if max_images is not None:
        return paths[:max_images]
    if len(paths) != benchmark.count:
        raise NLRNError(
            f"{folder}: holds {len(paths)} images, but {name} has {benchmark.count}; {remedy}, "
            f"or give max_images={len(paths)} for a partial score"
        )
    return paths


def check_names(prefix: str, names: Iterable[str], dataset: str, paths: Collection[Path]) -> None:
    """Checks that images are in a benchmark.

    Args:
      prefix: what the message begins with, before the names that are unknown.
      names: of the images, without suffix.
      dataset: the name of the benchmark.
      paths: its images, at least one.

    Raises:
      NLRNError: some are not.
    """
    known = [path.stem for path in paths]
    unknown = sorted(set(names).difference(known))
    if unknown:
        raise NLRNError(
            f"{prefix}{','.join(unknown)}: not in {dataset}, whose images are called like "
            f"{known[0]}"
        )


def paper_figures(
    name: str, task: str, setting: float | None
) -> tuple[int, dict[str, dict]] | None:
    """What the paper reports for a benchmark.

    Args:
      name: of the benchmark.
      task: name of the task.
      setting: the noise sigma or the scale; None for a task without a setting.

    Returns:
      The number of the table and `{method: {"psnr": dB, "ssim": 0..1 or None}}`, or None when
      the paper has no figure. Where two tables have one (Urban100 at sigma 50), Table 4.
    """
    return next(iter(all_paper_figures(name, task, setting)), None)


def all_paper_figures(
    name: str, task: str, setting: float | None
) -> list[tuple[int, dict[str, dict]]]:
    """The same of each table that has figures: `[(number of the table, figures)]`."""
    found = []
    benchmark = BENCHMARKS.get(name)
    name = benchmark.paper_name or name if benchmark else name
    for table in _figures("paper_results.json")["tables"]:
        figures = table["results"].get(name, {}).get(f"{setting or 0:g}")
        if table["task"] == task and figures:
            found.append((table["table"], figures))
    return found


def paper_rows(number: int) -> tuple[str, list[tuple[str, float]]]:
    """The rows of a table of the paper whose data sets are here.

    Args:
      number: 4 (denoising, trained on 400 images), 5 (on 300) or 6 (super-resolution).

    Returns:
      The name of the task, and the data set and noise sigma or scale of each row.
    """
    table = next(t for t in _figures("paper_results.json")["tables"] if t["table"] == number)
    names = {benchmark.paper_name or name: name for name, benchmark in BENCHMARKS.items()}
    rows = [
        (names[name], float(setting))
        for name, results in table["results"].items()
        for setting in results
        if name in names
    ]
    return table["task"], rows


def paper_ablation(table: str) -> dict[str, float]:
    """What the paper reports of its variants on Set12 at noise level 25: PSNR in dB by name.

    Args:
      table: "table1" or "table2"; of any other experiment the paper prints no numbers.
    """
    return _figures("paper_results.json")["ablations_set12_psnr"].get(table, {})


def paper_sizes() -> dict[str, dict]:
    """Table 3, Set12 at noise level 50: {"params", "psnr"} by method, rounded as printed."""
    return _figures("paper_results.json")["table3_set12_sigma50"]


def published_figures(name: str, setting: float | None) -> dict[str, dict]:
    """What other papers report for a benchmark that the paper has not.

    Args:
      name: of the benchmark.
      setting: the noise sigma or the scale.

    Returns:
      `{method: {"psnr": dB, "ssim": None}}`.
    """
    results = _figures("published_results.json")["results"]
    figures = results.get(name, {}).get(f"{setting or 0:g}", {})
    return {method: {"psnr": psnr, "ssim": None} for method, psnr in figures.items()}


@functools.cache
def _figures(file: str) -> dict:
    return json.loads((Path(__file__).parent / file).read_text())
