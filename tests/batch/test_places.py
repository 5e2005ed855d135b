import re

import pytest
from apache_beam.io.filesystem import FileSystem

from nlrn_tf.batch.places import places_of
from nlrn_tf.errors import NLRNError


def matched(places, paths):
    """The inputs, by Beam's own reading of the patterns, with their results."""
    patterns = [re.compile(FileSystem.translate_pattern(each)) for each in places.patterns]
    found = {path for path in paths if any(pattern.match(path) for pattern in patterns)}
    targets = {path: places.target(path) for path in found}
    return {path: target for path, target in targets.items() if target is not None}


PATHS = [
    f"gs://b/{path}"
    for path in (
        *("p/a.png", "p/x/b.png", "p/x/y/c.PNG", "p/x/y/d.jpg", "p/.z/e.png", "p/.f.png"),
        *("p/notes.txt", "p/out/g.png", "q/h.png"),
    )
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p", ["a", "x/b", "x/y/c", "x/y/d"]),
        ("p/", ["a", "x/b", "x/y/c", "x/y/d"]),
        ("p/**", ["a", "x/b", "x/y/c", "x/y/d"]),
        ("p/**/*.png", ["a", "x/b"]),
        ("p/**/*.[pP][nN][gG]", ["a", "x/b", "x/y/c"]),
        ("p/*.png", ["a"]),
        ("p/x/**/*.*", ["b", "y/c", "y/d"]),
        ("p/**/y/**/*.jpg", ["x/y/d"]),
        ("p/a.png", ["a"]),
    ],
)
def test_patterns(pattern, expected):
    places = places_of(f"gs://b/{pattern}", "gs://b/p/out/", ".png")
    assert sorted(matched(places, PATHS).values()) == [f"gs://b/p/out/{n}.png" for n in expected]


def test_names_with_points_keep_all_but_their_suffix():
    places = places_of("gs://b/p", "s3://c", ".webp")
    assert places.target("gs://b/p/x/holiday.2024.jpg") == "s3://c/x/holiday.2024.webp"
    places = places_of("gs://b/p", "s3://c", ".webp", keep_suffix=True)
    assert places.target("gs://b/p/x/holiday.2024.jpg") == "s3://c/x/holiday.2024.jpg.webp"


def test_paths_are_those_of_all_processes(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for pattern in ("photos", "link/", "link/**", f"{tmp_path}/photos/**"):
        places = places_of(pattern, "out", ".png")
        assert places.patterns == (f"{tmp_path}/photos/**",)
        assert places.output == f"{tmp_path}/out"
    assert places_of("*.png", "out", ".png").patterns == (f"{tmp_path}/*.png",)


@pytest.mark.parametrize("output", ["gs://b/p", "gs://b/p/", "gs://b"])
def test_results_among_or_above_the_inputs_are_refused(output):
    with pytest.raises(NLRNError, match="holds the inputs"):
        places_of("gs://b/p/**", output, ".png")
