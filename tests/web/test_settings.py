import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.web.settings import WebSettings


def test_by_default_for_this_machine_alone():
    assert WebSettings().host == "127.0.0.1"


@pytest.mark.parametrize(
    "wrong",
    [{"port": -1}, {"port": 65536}, {"max_pixels": 0}, {"max_megabytes": 0}, {"max_waiting": -1}],
)
def test_what_is_not_possible_is_named(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(NLRNError, match=f"^{name}={value} is not allowed"):
        WebSettings(**wrong)
