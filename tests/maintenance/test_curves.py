import numpy as np
import pytest
from matplotlib.image import imread

from maintenance.curves import curve_name, plot_curves
from nlrn_tf.errors import NLRNError
from nlrn_tf.training.curve import COLUMNS, read_curve
from nlrn_tf.weights.manifest import WEIGHTS_DIR

HEADER = ",".join(COLUMNS) + "\n"


@pytest.fixture
def curve(tmp_path):
    """A curve whose network grows from 3 to 6 states at the third point."""
    path = tmp_path / "runs" / "mine" / "curve.csv"
    path.parent.mkdir(parents=True)
    points = ["100,6,3,0.001", "200,12,3,0.0008", "300,24,6,0.0004", "400,60,6,0"]
    rows = [f"{point},50,27,{27 + k}\n" for k, point in enumerate(points)]
    path.write_text(HEADER + "".join(rows))
    return path


def read_rgb(path):
    """int `[H, W, 3]` in 0..255."""
    return (imread(path)[..., :3] * 255).astype(int)


def coloured(image):
    """Where the curve and its marks are: black, grey and white have equal channels."""
    return np.ptp(image, axis=-1) > 60


def test_the_picture_shows_the_growth(curve, tmp_path):
    plot_curves([curve], tmp_path / "grown.png")
    text = curve.read_text().replace(",3,", ",6,")
    curve.write_text(text)
    plot_curves([curve], tmp_path / "constant.png")
    grown, constant = (read_rgb(tmp_path / f"{name}.png") for name in ("grown", "constant"))
    assert grown.shape == constant.shape == (506, 1100, 3)
    # A dotted line through both panels of each column, at a third or more of its pixels.
    columns = {name: coloured(image).sum(0) for name, image in (("g", grown), ("c", constant))}
    lines = np.flatnonzero(columns["g"] > columns["c"] + 100)
    assert len(lines) >= 2
    assert lines[0] < 580 < lines[-1]
    # Between the first and the last point, the third is at 2/3 by steps and at 1/3 by hours.
    points = np.flatnonzero(coloured(constant).any(0))
    steps, hours = points[points < 580], points[points > 580]
    for drawn, line, place in ((steps, lines[0], 2 / 3), (hours, lines[-1], 1 / 3)):
        assert abs((line - drawn[0]) / (drawn[-1] - drawn[0]) - place) < 0.05


def test_each_curve_has_its_colour_and_the_name_is_in_the_title(curve, tmp_path):
    other = tmp_path / "other_curve.csv"
    other.write_text(curve.read_text().replace(",27,30", ",27,40"))
    plot_curves([curve], tmp_path / "one.svg")
    plot_curves([curve, other], tmp_path / "two.svg")
    one, two = ((tmp_path / name).read_text() for name in ("one.svg", "two.svg"))
    assert "#1f77b4" in one
    assert "#ff7f0e" not in one
    assert "#ff7f0e" in two
    assert "mine: 30.00 dB on validation images after 400 steps, 1.0 hours" in one
    assert "other: 40.00 dB on validation images" in two


def test_packaged_curves_can_be_drawn(tmp_path):
    paths = sorted(WEIGHTS_DIR.glob("*_curve.csv"))
    assert paths
    for path in paths:
        curve = read_curve(path)
        assert (np.diff(curve["step"]) > 0).all()
        assert (np.diff(curve["num_states"]) >= 0).all()
        plot_curves([path], tmp_path / f"{path.stem}.png")
        assert read_rgb(tmp_path / f"{path.stem}.png").std() > 10


def test_names(tmp_path):
    assert curve_name("weights/denoise_s25_curve.csv") == "denoise_s25"
    assert curve_name("runs/denoise_s25/curve.csv") == "denoise_s25"
    assert curve_name("mine.csv") == "mine"


@pytest.mark.parametrize("content", [None, "", HEADER, "step,minutes\n1,2\n", HEADER + "a,b\n"])
def test_other_files_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "curve.csv").write_text(content)
    with pytest.raises(NLRNError, match=r"curve\.csv: "):
        plot_curves([tmp_path / "curve.csv"], tmp_path / "x.png")
    with pytest.raises(NLRNError, match="no curve"):
        plot_curves([], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_an_unknown_format_is_refused(curve, tmp_path):
    with pytest.raises(NLRNError, match=r"x\.bmp"):
        plot_curves([curve], tmp_path / "x.bmp")
    assert not (tmp_path / "x.bmp").exists()
