import math

import numpy as np

from gen_jax.metrics.seed_curves import seed_curve


def test_mean_and_interval_at_the_steps_that_all_have():
    curve = seed_curve({0: {10: 1.0, 20: 3.0, 30: 5.0}, 1: {10: 3.0, 30: 5.0, 40: 7.0}})
    assert curve.steps == (10, 30)
    assert curve.mean == (2.0, 5.0)
    half = math.tan(math.pi * 0.475)
    np.testing.assert_allclose(curve.low, (2 - half, 5))
    np.testing.assert_allclose(curve.high, (2 + half, 5))
    assert str(curve) == "5 ± 0 at step 30, 2 seeds"


def test_what_is_not_finite_in_one_seed_is_left_out_of_the_mean():
    curve = seed_curve({0: {1: 1.0, 2: math.nan, 3: 1.0}, 1: {1: 1.0, 2: 1.0, 3: math.inf}})
    assert curve.steps == (1,)


def test_one_seed_has_no_interval():
    curve = seed_curve({5: {1: 1.5, 2: 2.5}})
    assert (curve.steps, curve.mean, curve.low, curve.high) == ((1, 2), (1.5, 2.5), (), ())
    assert str(curve) == "2.500 at step 2"


def test_long_curves_are_thinned_evenly_with_both_ends():
    curve = seed_curve({0: {step: float(step) for step in range(1, 5001)}}, points=400)
    assert len(curve.steps) == 400
    assert (curve.steps[0], curve.steps[-1]) == (1, 5000)
    assert np.diff(curve.steps).max() <= 13
