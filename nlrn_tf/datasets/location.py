"""Where the data sets are."""

import os
from pathlib import Path

# Above the package: the folder of the repository.
_DEFAULT = Path(__file__).resolve().parents[2] / "data"

HELP = "Data sets, one folder each. Default: $NLRN_DATA_DIR, else data/ of the repository."


def data_dir(given: str | os.PathLike | None = None) -> str:
    """The folder of the data sets: `given`, else `$NLRN_DATA_DIR`, else `data/` of the project."""
    return os.fspath(given or os.environ.get("NLRN_DATA_DIR") or _DEFAULT)
