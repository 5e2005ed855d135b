"""Where the data sets are."""

import os
from pathlib import Path

# Above the package: the folder of the repository, unless the package is installed.
_ABOVE = Path(__file__).resolve().parents[2]

HELP = (
    "Data sets, one folder each. Default: $NLRN_DATA_DIR, else data/ of the repository, or of the "
    "current folder where there is none."
)


def data_dir(given: str | os.PathLike | None = None) -> str:
    """The folder of the data sets: `given`, else `$NLRN_DATA_DIR`, else `data/`.

    That is the one of the repository, or without a repository that of the current folder.
    """
    root = _ABOVE if (_ABOVE / "setup.cfg").is_file() else Path()
    return os.fspath(given or os.environ.get("NLRN_DATA_DIR") or root / "data")
