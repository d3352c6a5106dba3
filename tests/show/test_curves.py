import itertools

from gen_jax.metrics.logged import Reported
from gen_jax.show.curves import MOST_POINTS, curves, families

LINES = [
    {"step": 1, "split": "train", "elbo": -3.0, "real_loss": 1.0, "fake_loss": 2.0},
    {"step": 2, "split": "train", "elbo": None, "real_loss": 0.5, "fake_loss": 1.5},
    {"step": 2, "split": "eval", "elbo": -2.0, "real_loss": 0.25, "modes": 8},
]


def test_metrics_of_one_scale_share_a_chart():
    names = ["elbo", "real_loss", "kl", "fake_loss", "loss", "fid_classifier", "precision_classifier"]
    assert families(names) == {
        "elbo": ["elbo"],
        "loss": ["real_loss", "fake_loss", "loss"],
        "kl": ["kl"],
        "fid_classifier": ["fid_classifier"],
        "precision_classifier": ["precision_classifier"],
    }


def test_training_and_evaluation_are_lines_of_one_chart():
    elbo = curves(LINES, reports={"elbo": Reported("ELBO", "nats", "larger")})[0]
    assert elbo.title == "ELBO (nats)"
    assert [(s.name, list(s.x), list(s.y), s.points) for s in elbo.series] == [
        ("train", [1, 2], [-3.0, None], False),
        ("eval", [2], [-2.0], True),
    ]
    assert len({series.category for series in elbo.series}) == 2


def test_members_of_a_family_have_a_colour_each_and_evaluations_are_dashed():
    loss = curves(LINES)[1]
    assert [(s.name, s.category, s.line) for s in loss.series] == [
        ("real, train", 1, "solid"),
        ("real, eval", 1, "dash"),
        ("fake, train", 2, "solid"),
    ]


def test_single_point_is_marked_because_a_line_of_one_is_not_seen():
    chart = curves([{"step": 7, "split": "train", "loss": 1.0}])[0]
    assert chart.series[0].points


def test_nothing_logged_gives_no_chart():
    assert curves([]) == []


def test_long_logs_are_thinned_and_keep_their_ends():
    (chart,) = curves({"step": step, "split": "train", "loss": 1.0} for step in range(1, 5002))
    steps = chart.series[0].x
    assert len(steps) == MOST_POINTS
    assert (steps[0], steps[-1]) == (1, 5001)
    assert {later - earlier for earlier, later in itertools.pairwise(steps)} == {2, 3}


def test_scores_have_the_names_that_they_are_stored_with():
    line = {"step": 1, "split": "eval", "fid_1k_mnist_classifier": 3.0}
    (chart,) = curves([line], {"fid_1k_mnist_classifier": "FID-1k (mnist classifier), not comparable"})
    assert chart.title == "FID-1k (mnist classifier), not comparable"
