"""Whole programs: what they cost, where it comes from, and the same for a TPU that is not here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.preflight.collectives import collectives, totals
from gen_jax.preflight.costs import Analysis, Costs, analyse, by_origin, readable
from gen_jax.preflight.shapes import parse_shape

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

TEXT = """HloModule m

%body (b: (s32[], f32[2,128])) -> (s32[], f32[2,128]) {
  %b = (s32[], f32[2,128]) parameter(0)
  %i = s32[] get-tuple-element(%b), index=0
  %v = f32[2,128] get-tuple-element(%b), index=1
  %w = f32[2,128] multiply(%v, %v), metadata={op_name="jit(steps)/while/body/jvp(Net)/Dense_0/mul"}
  %u = f32[2,128] add(%w, %v), metadata={op_name="jit(steps)/while/body/jvp(Net)/Dense_1/add"}
  %k = f32[2,128] custom-call(%u), custom_call_target="kernel", metadata={op_name="jit(steps)/while/body/attend"}
  %c = f32[2,128] copy(%u)
  ROOT %t = (s32[], f32[2,128]) tuple(%i, %c)
}

%condition (b: (s32[], f32[2,128])) -> pred[] {
  %b = (s32[], f32[2,128]) parameter(0)
  %i = s32[] get-tuple-element(%b), index=0
  ROOT %go = pred[] compare(%i, %i), direction=LT
}

ENTRY %main (n: s32[], x: f32[2,128]) -> f32[2,128] {
  %n = s32[] parameter(0)
  %x = f32[2,128] parameter(1)
  %before = f32[2,128] copy(%x)
  %t = (s32[], f32[2,128]) tuple(%n, %before)
  %loop = (s32[], f32[2,128]) while(%t), condition=%condition, body=%body, metadata={op_name="jit(steps)/while"}
  ROOT %y = f32[2,128] get-tuple-element(%loop), index=1
}
"""
KB = 1024


def test_costs_of_a_program_and_of_a_round_of_its_loop():
    inside = (2 + 3 + 2 + 2) * KB + 4 + 1
    whole = Costs(2 * 256 + 1, 0, inside + 2 * KB, ("jit(steps)/while",), ("kernel",))
    assert analyse(TEXT) == whole
    assert analyse(TEXT, loop="jit(steps)/while") == Costs(2 * 256 + 1, 0, inside, *(whole.unknown_loops, ("kernel",)))
    with pytest.raises(ValueError, match="jit\\(steps\\)/while"):
        analyse(TEXT, loop="jit(step)/while")


def test_costs_by_origin():
    shares = {share.origin: share for share in by_origin(TEXT, 2)}
    assert shares["jvp(Net)/Dense_0"].bytes == 2 * KB
    # XLA's copy has no name of its own: it copies what the addition gives.
    assert shares["jvp(Net)/Dense_1"].bytes == 3 * KB + 2 * KB
    assert shares["jvp(Net)/Dense_1"].flops == 256
    assert shares["jvp(Net)/Dense_1"].instructions == 2
    assert shares["attend"].bytes == 2 * KB
    assert shares["(argument)"].bytes == 2 * KB + 5
    together = by_origin(TEXT, 1)
    assert [share.origin for share in together] == ["jvp(Net)", "(argument)", "attend"]
    assert sum(share.bytes for share in together) == analyse(TEXT).bytes


def test_costs_by_kind():
    def f(x, w):
        return jnp.tanh(lax.conv(x, w, (1, 1), "SAME")).sum() + jnp.sort(x.ravel())[0]

    shapes = jax.ShapeDtypeStruct((2, 3, 8, 8), jnp.float32), jax.ShapeDtypeStruct((4, 3, 3, 3), jnp.float32)
    shares = {share.origin: share for share in Analysis(jax.jit(f).lower(*shapes).compile().as_text()).by_kind()}
    assert shares["convolution"].matrix_flops == sum(share.matrix_flops for share in shares.values()) > 0
    assert shares["sort"].bytes == 2 * 2 * 3 * 64 * 4


@pytest.mark.parametrize(
    ("op_name", "parts"),
    [
        ("jit(step)/while/body/transpose(jvp(UNet))/Conv_0/add", ["transpose(jvp(UNet))", "Conv_0", "add"]),
        ("jit(step)/while/body/closed_call/jit(indices)/while/cond/or", ["jit(indices)", "or"]),
        ("jit(step)/while", ["jit(step)"]),
        ("params['kernel']", ["params['kernel']"]),
    ],
)
def test_origins_are_readable(op_name, parts):
    assert readable(op_name) == parts


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """Eight chips that are not here."""
    pytest.importorskip("libtpu", reason="the TPU compiler is not installed")
    from gen_jax.preflight.topology import parse_topology

    return Mesh(np.array(parse_topology("v5e:2x4").devices()), ("data",))


def placed(mesh: Mesh, shape: tuple[int, ...], *axes: str | None, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, PartitionSpec(*axes)))


@pytest.mark.slow
def test_a_train_step_for_a_tpu(mesh):
    batch, width, rounds = 1024, 256, 5

    def step(w, x):
        def loss(w):
            return jnp.mean(lax.scan(lambda h, _: (jnp.tanh(h @ w), None), x, None, length=rounds)[0] ** 2)

        return w - 0.1 * jax.grad(loss)(w)

    arguments = placed(mesh, (width, width)), placed(mesh, (batch, width), "data")
    compiled = jax.jit(step, out_shardings=arguments[0].sharding, donate_argnums=0).lower(*arguments).compile()
    found, text = analyse(compiled.as_text()), compiled.as_text()
    product = 2 * (batch // 8) * width * width
    # Forward, and backward in both factors, but not in x.
    assert found.matrix_flops == pytest.approx(product * (3 * rounds), rel=0.01)
    assert found.unknown_loops == found.custom_calls == ()
    assert compiled.cost_analysis()["flops"] < found.flops / (rounds - 1)
    assert found.bytes >= 4 * width * width * 2 + 4 * (batch // 8) * width
    (total,) = totals(collectives(text))
    assert (total.kind, total.group_size, total.count) == ("all-reduce", 8, 1)
    assert total.bytes in (4 * width * width, 2 * width * width)


@pytest.mark.slow
def test_a_convolution_for_a_tpu_counts_as_xla_does_and_small_channels_fill_memory(mesh):
    def loss(x, w):
        return jnp.sum(
            jnp.sin(lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
        )

    one = jax.sharding.SingleDeviceSharding(mesh.devices.flat[0])
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32, sharding=one) for shape in ((8, 16, 16, 32), (4, 4, 32, 64))]
    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(*shapes).compile()
    text = compiled.as_text()
    assert analyse(text).flops == pytest.approx(compiled.cost_analysis()["flops"], rel=0.01)
    assert analyse(text).bytes < 0.7 * compiled.cost_analysis()["bytes accessed"]
    entry = Analysis(text).module
    stored = sum(line.shape.leaves[0].stored_bytes for line in entry.computations[entry.entry].parameters)
    assert stored == compiled.memory_analysis().argument_size_in_bytes
    assert stored > 2 * sum(parse_shape(f"f32[{n}]").leaves[0].bytes for n in (8 * 16 * 16 * 32, 4 * 4 * 32 * 64))
