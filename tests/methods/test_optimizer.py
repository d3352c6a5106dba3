import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment
from gen_jax.methods.optimizer import RULES, Optimizer

# An ill-conditioned quadratic in a matrix and a vector: muon treats them differently.
START = {"matrix": jnp.arange(6.0).reshape(2, 3) - 2.0, "bias": jnp.array([3.0, -1.0])}
SLOPES = {"matrix": jnp.arange(1.0, 7.0).reshape(2, 3), "bias": jnp.array([0.1, 10.0])}


def descend(optimizer, steps=4):
    """The parameters after each step."""
    params, state = START, optimizer.init(START)
    for _ in range(steps):
        updates, state = optimizer.update(jax.tree.map(jnp.multiply, SLOPES, params), state, params)
        params = optax.apply_updates(params, updates)
        yield params


def assert_same(options, expected):
    chosen = dataclasses.replace(Optimizer(learning_rate=0.1), **options)
    chosen.check()
    for mine, theirs in zip(descend(chosen.transformation()), descend(expected), strict=True):
        jax.tree.map(np.testing.assert_array_equal, mine, theirs)
    mine, theirs = (optimizer.init(START) for optimizer in (chosen.transformation(), expected))
    assert jax.tree.structure(mine) == jax.tree.structure(theirs)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, optax.adam(0.1)),
        ({"betas": (0.5, 0.9)}, optax.adam(0.1, 0.5, 0.9)),
        ({"optimizer": "adamw", "weight_decay": 0.2}, optax.adamw(0.1, weight_decay=0.2)),
        ({"optimizer": "adamw", "betas": (0.5, 0.9)}, optax.adamw(0.1, 0.5, 0.9, weight_decay=0.0)),
        ({"optimizer": "lion", "betas": (0.9, 0.99), "weight_decay": 0.2}, optax.lion(0.1, weight_decay=0.2)),
        ({"optimizer": "rmsprop"}, optax.rmsprop(0.1)),
        ({"optimizer": "sgd"}, optax.sgd(0.1)),
        ({"optimizer": "adagrad"}, optax.adagrad(0.1)),
        ({"optimizer": "muon"}, contrib.muon(0.1)),
        (
            {"optimizer": "muon", "betas": (0.5, 0.9), "weight_decay": 0.2},
            contrib.muon(0.1, adam_b1=0.5, adam_b2=0.9, weight_decay=0.2, adam_weight_decay=0.2),
        ),
        ({"clip_gradients": 0.5}, optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))),
        ({"warmup": 2}, optax.adam(optax.linear_schedule(0.0, 0.1, 2))),
        ({"decay_steps": 3}, optax.adam(optax.linear_schedule(0.1, 0.0, 3))),
        (
            {"optimizer": "sgd", "decay_steps": 3, "decay_schedule": "cosine"},
            optax.sgd(optax.cosine_decay_schedule(0.1, 3)),
        ),
    ],
)
def test_options_are_those_of_optax(options, expected):
    assert_same(options, expected)


def test_every_optimizer_is_an_option_and_moves_everything():
    accepted = Optimizer.__annotations__["optimizer"].__args__
    assert set(RULES) == set(accepted)
    for name in accepted:
        *_, last = descend(Optimizer(optimizer=name, learning_rate=0.01).transformation())
        for leaf, start in zip(jax.tree.leaves(last), jax.tree.leaves(START), strict=True):
            moved = leaf != start
            # At 0 the gradient is 0.
            assert moved[start != 0].all(), name


def test_optimizers_differ():
    # rmsprop is adam without a first moment, and lion's first steps are those of a sign; none is another.
    ends = {name: list(descend(Optimizer(optimizer=name).transformation()))[-1] for name in RULES}
    for one, other in itertools.combinations(set(RULES) - {"adamw"}, 2):
        assert not np.array_equal(ends[one]["matrix"], ends[other]["matrix"]), (one, other)
    # Without decay of weights there is no difference.
    np.testing.assert_array_equal(ends["adam"]["matrix"], ends["adamw"]["matrix"])


@pytest.mark.parametrize(
    ("options", "moves", "expected"),
    [
        ({"warmup": 4}, 1, {0: 0.0, 1: 0.1, 2: 0.2, 4: 0.4, 100: 0.4}),
        ({"warmup": 4}, 5, {0: 0.0, 5: 0.1, 10: 0.2, 20: 0.4, 500: 0.4}),
        ({"decay_steps": 4}, 1, {0: 0.4, 1: 0.3, 3: 0.1, 4: 0.0, 100: 0.0}),
        ({"decay_steps": 4}, 5, {0: 0.4, 5: 0.3, 15: 0.1, 20: 0.0}),
        ({"decay_steps": 4, "decay_schedule": "cosine"}, 1, {0: 0.4, 2: 0.2, 4: 0.0, 9: 0.0}),
        # (1 + cos(pi / 4)) / 2 of it.
        ({"decay_steps": 4, "decay_schedule": "cosine"}, 1, {1: 0.34142135}),
        ({"warmup": 2, "decay_steps": 6}, 1, {0: 0.0, 1: 0.2, 2: 0.4, 3: 0.3, 5: 0.1, 6: 0.0, 7: 0.0}),
        ({"warmup": 2, "decay_steps": 6}, 3, {0: 0.0, 3: 0.2, 6: 0.4, 9: 0.3, 15: 0.1, 18: 0.0}),
        ({"warmup": 2, "decay_steps": 6, "decay_schedule": "cosine"}, 1, {1: 0.2, 2: 0.4, 4: 0.2, 6: 0.0}),
    ],
)
def test_learning_rate_at_given_moves(options, moves, expected):
    rate = Optimizer(learning_rate=0.4, **options).rate(moves)
    np.testing.assert_allclose([rate(count) for count in expected], list(expected.values()), atol=1e-7)


def test_learning_rate_without_a_schedule_is_a_number():
    assert Optimizer(learning_rate=0.4).rate(5) == 0.4


@dataclasses.dataclass(frozen=True)
class Clips(Optimizer):
    clip_gradients: float = 1.0


def test_no_clipping_has_the_shape_of_clipping_where_that_is_the_default():
    with_clipping, without = (Clips(clip_gradients=norm, learning_rate=0.1).transformation() for norm in (1.0, 0.0))
    structures = {jax.tree.structure(optimizer.init(START)) for optimizer in (with_clipping, without)}
    assert len(structures) == 1
    for mine, theirs in zip(descend(without), descend(optax.adam(0.1)), strict=True):
        jax.tree.map(np.testing.assert_array_equal, mine, theirs)


def test_warm_up_longer_than_the_decay_is_refused():
    text = "--warmup is 6; accepted: a number below --decay-steps, 6, at which the learning rate is back at 0"
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        Optimizer(warmup=6, decay_steps=6).check()
    Optimizer(warmup=5, decay_steps=6).check()


@dataclasses.dataclass(frozen=True)
class Chosen(Optimizer):
    betas: tuple[float, float] = (0.5, 0.9)


EXPERIMENT = Experiment(lambda config, data: None, Chosen, paper={"betas": (0.0, 0.9), "optimizer": "sgd"})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"optimizer": "sgd", "betas": (0.5, 0.8)},
            "--betas is 0.5 0.8; --optimizer sgd does not use it; these do: adam, adamw, lion, muon",
        ),
        (
            {"weight_decay": 0.1},
            "--weight-decay is 0.1; --optimizer adam does not use it; these do: adamw, lion, muon",
        ),
        (
            {"optimizer": "rmsprop", "weight_decay": 0.1},
            "--weight-decay is 0.1; --optimizer rmsprop does not use it; these do: adamw, lion, muon",
        ),
        (
            {"decay_schedule": "cosine"},
            "--decay-schedule is cosine; without --decay-steps the learning rate stays as it is",
        ),
        ({"weight_decay": -1.0}, "--weight-decay is -1.0; accepted: a number of at least 0"),
        ({"betas": (0.5, 1.0)}, "--betas is 0.5 1.0; accepted: a number of at least 0 and below 1"),
        (
            {"optimizer": "adan"},
            "--optimizer is adan; accepted: adam, adamw, lion, rmsprop, sgd, adagrad, muon",
        ),
    ],
)
def test_an_option_without_effect_is_refused_and_not_ignored(options, text):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        EXPERIMENT.check(Chosen(**options))


@pytest.mark.parametrize(
    "config",
    [
        Chosen(),
        Chosen(optimizer="sgd"),
        EXPERIMENT.presets["paper"],
        Chosen(optimizer="lion", weight_decay=0.1),
        Chosen(decay_schedule="cosine", decay_steps=5),
    ],
)
def test_what_a_preset_has_or_is_used_is_accepted(config):
    EXPERIMENT.check(config)
