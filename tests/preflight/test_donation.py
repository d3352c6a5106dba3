import jax
import jax.numpy as jnp
import pytest

from gen_jax.preflight.costs import Analysis
from gen_jax.preflight.donation import Donation, donation, readable_leaf


def of(step, state, rate=1.0):
    text = jax.jit(step, donate_argnums=0).lower(state, rate).compile().as_text()
    return donation(text, Analysis(text))


def test_every_array_of_a_state_that_is_updated_is_reused():
    state = {"params": {"w": jnp.ones(3), "b": jnp.ones(2)}}
    assert of(lambda state, rate: jax.tree.map(lambda leaf: leaf * rate, state), state) == Donation(2, ())


def test_an_array_that_comes_back_otherwise_is_named():
    def step(state, rate):
        return {**state, "b": jnp.concatenate([state["b"], state["b"]]) * rate, "w": state["w"] * rate}

    with pytest.warns(UserWarning, match="donated buffers were not usable"):
        found = of(step, {"w": jnp.ones(3), "b": jnp.ones(2)})
    assert found == Donation(2, ("b",))


def test_names_are_as_in_messages():
    assert readable_leaf(r"state.opt_state[\'critic\'][0].mu[\'critic\'][\'Dense_0\'][\'kernel\']") == (
        "opt_state/critic/0/mu/critic/Dense_0/kernel"
    )
    assert readable_leaf("state.step") == "step"
