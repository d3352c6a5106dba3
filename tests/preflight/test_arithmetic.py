"""Operations counted by brute force, and by XLA."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gen_jax.preflight.arithmetic import Arithmetic, Operations, Window, parse_window, valid_positions
from gen_jax.preflight.costs import analyse
from gen_jax.preflight.hlo import parse

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")


def of_line(*lines: str) -> Operations:
    """Of the last of the lines, in a program that has no more."""
    body = "\n".join(f"  {line}" for line in lines)
    scalar = "%add (a: f32[], b: f32[]) -> f32[] {\n  %a = f32[] parameter(0)\n  %b = f32[] parameter(1)\n"
    scalar += "  ROOT %sum = f32[] add(%a, %b)\n}\n"
    module = parse(f"HloModule m\n\n{scalar}\nENTRY %main (x: f32[]) -> f32[] {{\n{body}\n}}\n")
    entry = module.computations["main"]
    return Arithmetic(module).of(entry, list(entry.instructions.values())[-1])


def windows():
    sizes = itertools.product((1, 3, 4), (1, 2, 3), ((0, 0), (1, 2), (-1, 0)), (1, 2, 3), (1, 2))
    for size, stride, (low, high), lhs_dilate, rhs_dilate in sizes:
        yield Window(size, stride, low, high, lhs_dilate, rhs_dilate)


@pytest.mark.parametrize("size_in", [5, 8])
def test_valid_positions_are_those_where_numbers_of_the_input_meet_the_window(size_in):
    for window in windows():
        dilated = np.zeros((size_in - 1) * window.lhs_dilate + 1)
        dilated[:: window.lhs_dilate] = 1
        low, high = max(window.low, 0), max(window.high, 0)
        padded = np.pad(dilated, (low, high))[max(-window.low, 0) : len(dilated) + low + high - max(-window.high, 0)]
        reach = (window.size - 1) * window.rhs_dilate + 1
        starts = range(0, len(padded) - reach + 1, window.stride)
        met = sum(padded[start : start + reach : window.rhs_dilate].sum() for start in starts)
        assert valid_positions(window, size_in, len(starts)) == met, window


def test_windows_as_xla_prints_them():
    assert parse_window(None) == ()
    assert parse_window("size=3x1") == (Window(3), Window(1))
    assert parse_window("size=4x8 stride=2x1 pad=1_1x-2_3 lhs_dilate=1x2 rhs_dilate=3x1 rhs_reversal=1x1") == (
        Window(4, 2, 1, 1, 1, 3),
        Window(8, 1, -2, 3, 2, 1),
    )


def test_matrix_product():
    lines = (
        "%a = f32[7,3,5] parameter(0)",
        "%b = f32[7,5,2] parameter(1)",
        "%c = f32[7,3,2] dot(%a, %b), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}",
    )
    assert of_line(*lines) == Operations(2 * 7 * 3 * 2 * 5, 2 * 7 * 3 * 2 * 5)


def test_a_matrix_product_that_is_written_as_a_convolution():
    lines = (
        "%a = f32[3,5] parameter(0)",
        "%b = f32[5,2] parameter(1)",
        "%c = f32[3,2] convolution(%a, %b), dim_labels=bf_io->bf",
    )
    assert of_line(*lines).matrix == 2 * 3 * 2 * 5


def test_groups_of_features_and_of_the_batch():
    shapes = ("%a = f32[8,6,12] parameter(0)", "%b = f32[1,{},24] parameter(1)")
    line = "%c = f32[{},6,24] convolution(%a, %b), window={{size=1}}, dim_labels=b0f_0io->b0f, {}_group_count=4"
    by_features = of_line(shapes[0], shapes[1].format(3), line.format(8, "feature"))
    assert by_features.matrix == 2 * 8 * 6 * 24 * (12 // 4)
    by_batch = of_line(shapes[0], shapes[1].format(12), line.format(2, "batch"))
    assert by_batch.matrix == 2 * 2 * 6 * 24 * 12


def test_reductions_count_what_they_take_in_beyond_what_they_put_out():
    lines = ("%x = f32[4,9] parameter(0)", "%zero = f32[] constant(0)")
    whole = of_line(*lines, "%r = f32[4] reduce(%x, %zero), dimensions={1}, to_apply=%add")
    assert whole == Operations(4 * 8, 0)
    pooled = of_line(*lines, "%r = f32[4,3] reduce-window(%x, %zero), window={size=1x3 stride=1x3}, to_apply=%add")
    assert pooled == Operations(4 * 3 * 2, 0)


def test_transcendental_functions_and_moves_are_none():
    for opcode in ("tanh", "exponential", "copy", "negate"):
        expected = 6 if opcode == "negate" else 0
        assert of_line("%x = f32[2,3] parameter(0)", f"%y = f32[2,3] {opcode}(%x)").total == expected


def test_attention_that_xla_makes_a_custom_call_of():
    lines = (
        "%s = bf16[32,256,128] parameter(0)",
        "%v = bf16[32,128,64] parameter(1)",
        '%o = bf16[32,256,64] custom-call(%s, %v), custom_call_target="tpu_custom_call", '
        'metadata={op_name="online-softmax"}',
    )
    assert of_line(*lines).matrix == 2 * 32 * 256 * 128 * 64


def convolved(strides, padding, lhs=(1, 1), rhs=(1, 1), groups=1):
    """Gradients of a convolution in input and kernel."""

    def loss(x, w):
        y = lax.conv_general_dilated(x, w, strides, padding, lhs, rhs, ("NHWC", "HWIO", "NHWC"), groups)
        return jnp.sum(jnp.sin(y))

    return jax.grad(loss, (0, 1))


def attention(x, wq, wk):
    scores = jnp.einsum("bqc,bkc->bqk", x @ wq, x @ wk) / 8.0
    return jnp.sum(jnp.einsum("bqk,bkc->bqc", jax.nn.softmax(scores), x) ** 2)


IMAGES = (2, 12, 12, 8)
PROGRAMS = {
    "convolution": (convolved((1, 1), "SAME"), IMAGES, (3, 3, 8, 16)),
    "strided": (convolved((2, 2), "SAME"), IMAGES, (4, 4, 8, 16)),
    "transposed": (convolved((1, 1), ((2, 2), (2, 2)), lhs=(2, 2)), IMAGES, (4, 4, 8, 16)),
    "dilated": (convolved((1, 1), "VALID", rhs=(2, 2)), IMAGES, (3, 3, 8, 16)),
    "grouped": (convolved((1, 1), "SAME", groups=4), IMAGES, (3, 3, 2, 16)),
    "attention": (jax.grad(attention, (0, 1, 2)), (2, 64, 16), (16, 16), (16, 16)),
    "pooling": (jax.grad(lambda x: jnp.sum(lax.reduce_window(x, 0.0, lax.add, (1, 3), (1, 2), "SAME") ** 2)), (8, 32)),
    "sorting": (lambda x: jnp.sort(x.reshape(-1)), (8, 32)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_without_loops_have_as_many_as_xla_counts(name):
    f, *shapes = PROGRAMS[name]
    compiled = jax.jit(f).lower(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).compile()
    costs = analyse(compiled.as_text())
    assert costs.flops == pytest.approx(compiled.cost_analysis()["flops"], rel=0.01)
    assert (costs.matrix_flops > 0.5 * costs.flops) == (name not in ("pooling", "sorting"))
