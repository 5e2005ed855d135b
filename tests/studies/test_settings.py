"""What the members of a study are, and what a user may not ask for."""

import pytest

from nlrn_tf.config import SIMILARITIES
from nlrn_tf.datasets.benchmarks import paper_ablation
from nlrn_tf.errors import NLRNError
from nlrn_tf.studies.complexity import parameters
from nlrn_tf.studies.members import HELD_OUT, STUDIES
from nlrn_tf.studies.settings import StudySettings, changed_fields, identity, member_config


def members_of(settings):
    return {name: member_config(settings, name) for name in settings.of_study.members}


def test_the_members_are_the_rows_of_the_paper():
    assert set(STUDIES["table1"].members) == set(paper_ablation("table1")) == set(SIMILARITIES)
    assert set(STUDIES["table2"].members) == set(paper_ablation("table2"))
    for study in STUDIES.values():
        assert set(study.paper) <= set(study.members)
        assert not set(study.others) & set(study.members)


@pytest.mark.parametrize("smoke", [False, True])
@pytest.mark.parametrize(
    ("study", "changed"),
    [
        ("table1", {"similarity"}),
        ("table2", {"tied_weights", "non_local_every", "correlation_propagation", "filters"}),
        ("table3", {"sources"}),
        ("figure5", {"window_size", "patch_size", "batch_size"}),
        ("figure6", {"num_states"}),
    ],
)
def test_members_differ_in_what_the_study_compares_alone(study, changed, smoke):
    if smoke:  # six channels are too few to make up for the module, and there is one set of images
        changed = changed - {"filters", "sources"}
    assert changed_fields(StudySettings(study, smoke=smoke)) == changed


def test_the_network_without_the_module_has_the_parameters_of_the_paper():
    config = member_config(StudySettings("table2"), "rnn_without_non_local").network
    assert (config.filters, parameters(config)[0]) == (135, 330_886)
    reduced = StudySettings("table2", training={"filters": (64,), "embedding_size": (32,)})
    networks = members_of(reduced)
    found, wanted = (
        parameters(networks[name].network)[0] for name in ("rnn_without_non_local", "nlrn")
    )
    assert abs(found / wanted - 1) < 0.015  # a channel more or less is 3 %


def test_windows_have_the_same_pixels_in_a_batch():
    for name, config in members_of(StudySettings("figure5")).items():
        size = int(name.removeprefix("window_"))
        assert (config.network.window_size, config.patch_size) == (size, (size,))
        pixels = config.batch_size[0] * size**2
        assert pixels == pytest.approx(16 * 45**2, rel=0.04)


def test_every_member_is_trained_alike_and_never_on_held_out_images():
    for name in STUDIES:
        sigma = 50 if name == "table3" else 25
        for config in members_of(StudySettings(name, minutes_per_run=3.0)).values():
            assert (config.noise_sigma, config.max_minutes) == (sigma, 3)
            assert config.validation_images == HELD_OUT
            assert {image.rpartition("/")[0] for image in HELD_OUT} <= set(config.sources)


def test_the_budget_and_the_seed_belong_to_a_member_but_not_how_it_is_computed():
    base = identity(StudySettings("table1"), "gaussian")
    for changes in ({"training": {"steps": 7}}, {"training": {"seed": 1}}, {"minutes_per_run": 1}):
        assert identity(StudySettings("table1", **changes), "gaussian") != base
    unrolled = StudySettings("table1", training={"unroll": True})
    assert identity(unrolled, "gaussian") == base


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"study": "table9"}, r"study=table9 .* table1, table2"),
        ({"study": "table1", "only": ("cosine",)}, r"only=cosine .* euclidean"),
        ({"study": "table1", "minutes_per_run": 0.0}, "minutes_per_run=0"),
        ({"study": "table1", "training": {"num_states": (2, 4)}}, "num_states=2,4"),
        ({"study": "table1", "training": {"steps": 0}}, "steps=0"),
    ],
)
def test_what_is_not_possible_is_refused(values, message):
    with pytest.raises(NLRNError, match=message):
        StudySettings(**values)
