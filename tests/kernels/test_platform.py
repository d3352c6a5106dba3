import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.kernels.platform import per_platform


def two_forms():
    """x^3, of which the form of a CPU is off by a factor of 2, so that one can tell which was taken."""
    return per_platform(cpu=lambda x: 2 * x**3, default=lambda x: x**3)


def test_the_form_of_the_platform_gives_the_value_and_every_derivative():
    found = [two_forms()]
    for _ in range(3):
        found.append(jax.grad(found[-1]))
    np.testing.assert_allclose([f(2.0) for f in found], [16.0, 24.0, 24.0, 12.0])


def test_forward_mode_and_the_two_together_take_the_form_of_the_platform():
    def forward(function):
        return lambda x: jax.jvp(function, (x,), (1.0,))[1]

    first, *second = [
        forward(two_forms()),
        *[outer(inner(two_forms())) for outer in (forward, jax.grad) for inner in (forward, jax.grad)],
    ]
    np.testing.assert_allclose([first(2.0), *(f(2.0) for f in second)], [24.0, 24.0, 24.0, 24.0, 24.0])
    third = [outer(f) for outer, f in zip((jax.grad, forward), second[1:], strict=False)]
    np.testing.assert_allclose([f(2.0) for f in third], [12.0, 12.0])
    traced = jax.jit(forward(two_forms())).trace(2.0)
    for platform, doubled in (("cpu", True), ("tpu", False), ("cuda", False)):
        assert ("dense<2.000000e+00>" in traced.lower(lowering_platforms=(platform,)).as_text()) is doubled


def test_another_platform_gets_its_own_form():
    traced = jax.jit(jax.grad(two_forms())).trace(2.0)
    for platform, doubled in (("cpu", True), ("tpu", False), ("cuda", False)):
        assert ("dense<2.000000e+00>" in traced.lower(lowering_platforms=(platform,)).as_text()) is doubled


def test_it_takes_trees_of_arguments_and_is_mapped():
    chosen = per_platform(cpu=lambda pair, z: pair["x"] * z, default=lambda pair, z: pair["x"] * z + 1)
    value = jax.vmap(chosen)({"x": jnp.arange(3.0)}, jnp.ones(3))
    assert value.tolist() == [0, 1, 2]
