"""What is kept of a study: a folder for each member, and the results of all of them.

    <member>/member.json   what was trained, and its scores once it is done
    <member>/              the run: see `nlrn_tf.training.trainer`
    study.json             the settings that the members share, and the results
    study.md, study.png    the same as a table and as a plot

Folders of members that were trained on other machines may be copied beside each other: the next
run takes them over.
"""

import json
import os
from pathlib import Path

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_text
from nlrn_tf.studies.settings import StudySettings, identity

MEMBER, STUDY = "member.json", "study.json"


def check_folder(workdir: str | os.PathLike, settings: StudySettings) -> None:
    """Refuses a folder of another study, and members that were trained otherwise.

    Raises:
      NLRNError: the folder holds something else, or a file in it is damaged.
    """
    workdir = Path(workdir)
    study = _read(workdir / STUDY)
    if study is not None and study.get("study") != settings.study:
        raise NLRNError(
            f"{workdir}: holds study {study.get('study')}, not {settings.study}; give another "
            "workdir"
        )
    for member in settings.of_study.members:
        read_member(workdir, settings, member)


def read_member(workdir: str | os.PathLike, settings: StudySettings, member: str) -> dict | None:
    """The results of a member, empty while it is not done; None when it was never begun.

    Raises:
      NLRNError: it belongs to another study or was trained with other settings.
    """
    path = Path(workdir) / member / MEMBER
    found = _read(path)
    if found is None:
        return None
    if (found.get("study"), found.get("member")) != (settings.study, member):
        raise NLRNError(
            f"{path}: is member {found.get('member')} of {found.get('study')}, not {member} of "
            f"{settings.study}; give another workdir"
        )
    there, now = found.get("settings", {}), identity(settings, member)
    for name in now:
        if there.get(name) != now[name]:
            raise NLRNError(
                f"{path}: member {member} was trained with {_shown(name, there.get(name))}, not "
                f"{_shown(name, now[name])}; give the same settings or another workdir"
            )
    return found.get("result") or {}


def write_member(
    workdir: str | os.PathLike, settings: StudySettings, member: str, result: dict | None
) -> None:
    """Writes what a member is, and its results once it has some.

    Raises:
      NLRNError: the file cannot be written.
    """
    content = {
        "study": settings.study,
        "member": member,
        "settings": identity(settings, member),
        "result": result,
    }
    write_text(Path(workdir) / member / MEMBER, json.dumps(content, indent=1) + "\n")


def _read(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NLRNError(f"{path}: cannot be read ({error}); delete it") from error
    if not isinstance(content, dict):
        raise NLRNError(f"{path}: not a file by `run_study.py`; delete it")
    return content


def _shown(name: str, value: object) -> str:
    name = "minutes_per_run" if name == "max_minutes" else name
    return f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
