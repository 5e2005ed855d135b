import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.web import words


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "/tmp/x/a.png: is damaged (its end is missing); accept_damaged=True restores what is "
            "there",
            f"a.png: is damaged (its end is missing); “{words.DAMAGED}” under More options "
            "restores what is there.",
        ),
        (
            "/tmp/x/a.png: claims 4000 x 3000 pixels, more than max_pixels=10000000; raise that if "
            "the image is as large, or restore it in parts",
            "a.png: claims 4000 x 3000 pixels, more than the 10 megapixels that this page takes; "
            "make it smaller first.",
        ),
        ("noise_sigma=200: must be at most 150", "a noise level of 200: must be at most 150."),
        ("/tmp/x/a.png: is it complete?", "a.png: is it complete?"),
        ("a.png and /tmp/x/a.png", "a.png and a.png."),
        ("max_pixels=many{} scale=2", "the many that this page takes{} enlarging by 2."),
    ],
)
def test_errors_name_no_folder_and_no_argument(said, shown):
    assert words.sentence(said, "/tmp/x/a.png") == shown


def test_names_that_cannot_be_printed():
    path = "/tmp/x/a\u200eb.png"
    assert "/tmp" not in words.sentence(str(NLRNError(f"{path}: is damaged")), path)


def test_notes_are_about_the_image():
    assert words.note("a.png: noise level about 25.1", "/x/a.png") == "Noise level about 25.1."
    assert words.note("/x/a.png: restored as far as it is there", "/x/a.png").startswith("Restored")
    assert words.note("1 image, 12 megapixels: about 9 minutes", "/x/a.png") is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "1 second"), (1.6, "2 seconds"), (59.7, "60 seconds"), (600, "10 minutes")],
)
def test_measured_times(seconds, shown):
    assert words.took(seconds) == shown


def test_times_left():
    assert words.left(None) == "Working"
    assert words.left(3) == "A few seconds left"
    assert words.left(170) == "About 3 minutes left"


def test_megapixels():
    assert words.megapixels(12_345_678) == "12 megapixels"
    assert words.megapixels(1_260_000) == "1.3 megapixels"
    assert words.megapixels(2_400) == "0.002 megapixels"
