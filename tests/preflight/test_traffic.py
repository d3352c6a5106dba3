"""Bytes between the chip and its memory: by hand for what only TPUs write, and by XLA where it counts alike."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from gen_jax.preflight.costs import analyse
from gen_jax.preflight.hlo import parse
from gen_jax.preflight.traffic import Traffic

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

KB = 1024  # of f32[8,32] in rows, and of f32[2,128]


def traffic(lines: str, fused: str = "") -> dict[str, int]:
    """Of each line of an entry computation, by name. A line that begins with "..." goes on with the one before."""
    lines, fused = lines.replace("\n...", ""), fused.replace("\n...", "")
    module = parse(f"HloModule m\n{fused}\nENTRY %main (x: f32[]) -> f32[] {{\n{lines}\n}}\n")
    main, count = module.computations["main"], Traffic(module)
    return {line.name: count.of(main, line) for line in main.instructions.values()}


def test_operands_are_read_and_results_written_once():
    found = traffic("""
  %x = f32[2,128] parameter(0)
  %c = f32[2,128] constant({...})
  %square = f32[2,128] multiply(%x, %x)
  %sum = f32[2,128] add(%square, %c)
  %half = bf16[2,128] convert(%sum)
  %same = bf16[256] bitcast(%half)
  ROOT %all = (f32[2,128], bf16[256]) tuple(%sum, %same)
""")
    assert found == {"x": 0, "c": 0, "square": 2 * KB, "sum": 3 * KB, "half": KB + KB // 2, "same": 0, "all": 0}


def test_what_lies_on_the_chip_is_free_and_copies_count_on_the_other_side():
    found = traffic("""
  %x = f32[8,128]{1,0:T(8,128)} parameter(0)
  %start = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%x)
  %here = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%start)
  %both = f32[8,128]{1,0:T(8,128)S(1)} add(%here, %here)
  %out = f32[8,128]{1,0:T(8,128)} add(%both, %x)
  %part = ((f32[8,128]{1,0:T(8,128)}), f32[2,128]{1,0:T(2,128)S(1)}, s32[]{:S(2)})
... slice-start(%out), slice={[0:2], [0:128]}
  %parted = f32[2,128]{1,0:T(2,128)S(1)} slice-done(%part)
  %joined = f32[2,128]{1,0:T(2,128)S(1)} custom-call(%parted), custom_call_target="ConcatBitcast"
  ROOT %small = f32[8,4]{1,0:T(8,128)} negate(%both)
""")
    assert found["start"] == 4 * KB
    assert found["here"] == found["both"] == found["parted"] == found["joined"] == 0
    assert found["out"] == 8 * KB
    assert found["part"] == KB
    assert found["small"] == 4 * KB  # with its tile filled up


def test_slices_count_what_they_take_and_updates_what_they_put_in():
    found = traffic("""
  %x = f32[1000,128] parameter(0)
  %i = s32[] parameter(1)
  %rows = s32[2,1] parameter(2)
  %u = f32[2,128] parameter(3)
  %taken = f32[2,128] dynamic-slice(%x, %i, %i), dynamic_slice_sizes={2,128}
  %gathered = f32[2,128] gather(%x, %rows), offset_dims={1}, slice_sizes={1,128}
  %put = f32[1000,128] dynamic-update-slice(%x, %u, %i, %i)
  ROOT %added = f32[1000,128] scatter(%put, %rows, %u), to_apply=%main
""")
    assert found["taken"] == 2 * KB + 4
    assert found["gathered"] == 2 * KB + 8
    assert found["put"] == 2 * KB + 4
    assert found["added"] == 3 * KB + 8


FUSED = """
%inner (x: f32[1000,128], i: s32[]) -> f32[2,128] {
  %x = f32[1000,128] parameter(0)
  %i = s32[] parameter(1)
  ROOT %taken = f32[2,128] dynamic-slice(%x, %i, %i), dynamic_slice_sizes={2,128}
}

%outer (x: f32[1000,128], i: s32[], u: f32[2,128], kept: f32[500,128], b: f32[1000,128])
... -> (f32[1000,128], f32[2,128], f32[500,128]) {
  %x = f32[1000,128] parameter(0)
  %i = s32[] parameter(1)
  %u = f32[2,128] parameter(2)
  %kept = f32[500,128] parameter(3)
  %b = f32[1000,128] parameter(4)
  %c = f32[4,128] constant({...})
  %view = f32[1000,128] bitcast(%x)
  %taken = f32[2,128] fusion(%view, %i), kind=kLoop, calls=%inner
  %sum = f32[2,128] add(%taken, %u)
  %put = f32[1000,128] dynamic-update-slice(%b, %sum, %i, %i)
  ROOT %out = (f32[1000,128], f32[2,128], f32[500,128]) tuple(%put, %sum, %kept)
}
"""


def test_fusions_count_what_goes_in_and_out():
    found = traffic(
        """
  %x = f32[1000,128] parameter(0)
  %i = s32[] parameter(1)
  %u = f32[2,128] parameter(2)
  %kept = f32[500,128] parameter(3)
  %b = f32[1000,128] parameter(4)
  ROOT %f = (f32[1000,128], f32[2,128], f32[500,128]) fusion(%x, %i, %u, %kept, %b), kind=kLoop, calls=%outer
""",
        FUSED,
    )
    sliced, index, update, constant, put, result = KB, 4, KB, 2 * KB, KB, KB
    assert found["f"] == sliced + index + update + constant + put + result


EXCHANGE = """
%start (p: bf16[64,512]) -> (bf16[64,512], bf16[512,512], u32[]) {
  %p = bf16[64,512] parameter(0)
  %g = bf16[512,512] all-gather(%p), replica_groups=[1,8]<=[8],
... dimensions={0}, backend_config={"async_collective_fusion_config":{}}
  ROOT %s = (bf16[64,512], bf16[512,512], u32[]{:S(2)}) custom-call(%g), custom_call_target="AsyncCollectiveStart"
}

%beside (p.1: bf16[64,512], q.1: bf16[512,512], x.1: f32[256,128]) -> (f32[256,128], bf16[64,512], bf16[512,512]) {
  %p.1 = bf16[64,512] parameter(0)
  %q.1 = bf16[512,512] parameter(1)
  %x.1 = f32[256,128] parameter(2)
  %y.1 = f32[256,128] negate(%x.1)
  %g.1 = bf16[512,512] all-gather(%p.1), replica_groups=[1,8]<=[8],
... dimensions={0}, backend_config={"async_collective_fusion_config":{}}
  ROOT %t.1 = (f32[256,128], bf16[64,512], bf16[512,512]) tuple(%y.1, %p.1, %g.1)
}

%done (p.2: bf16[64,512], q.2: bf16[512,512]) -> bf16[512,512] {
  %p.2 = bf16[64,512] parameter(0)
  %q.2 = bf16[512,512] parameter(1)
  %g.2 = bf16[512,512] all-gather(%p.2), replica_groups=[1,8]<=[8],
... dimensions={0}, backend_config={"async_collective_fusion_config":{}}
  ROOT %d.2 = bf16[512,512] custom-call(%p.2, %q.2, %g.2), custom_call_target="AsyncCollectiveDone"
}
"""
EXCHANGED = """
  %p = bf16[64,512] parameter(0)
  %x = f32[256,128] parameter(1)
  %start = (bf16[64,512], bf16[512,512], u32[]{:S(2)}) fusion(%p), kind=kCustom, calls=%start
  %from = bf16[64,512] get-tuple-element(%start), index=0
  %to = bf16[512,512] get-tuple-element(%start), index=1
  %beside = (f32[256,128], bf16[64,512], bf16[512,512]) fusion(%from, %to, %x), kind=kLoop, calls=%beside
  %from.1 = bf16[64,512] get-tuple-element(%beside), index=1
  %to.1 = bf16[512,512] get-tuple-element(%beside), index=2
  ROOT %done = bf16[512,512] fusion(%from.1, %to.1), kind=kCustom, calls=%done
"""


def test_an_exchange_that_runs_beside_fusions_counts_where_it_starts():
    found = traffic(EXCHANGED, EXCHANGE)
    assert found["start"] == 64 * KB + 512 * KB
    assert found["beside"] == 2 * 128 * KB
    assert found["done"] == 0


def reduced(x, w):
    return jnp.sum(jnp.tanh(x @ w) ** 2)


def put(x, u, i):
    return lax.dynamic_update_slice_in_dim(x, u, i, 0)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (jax.grad(reduced, (0, 1)), ((64, 128), (128, 32))),
        (lambda x, w: lax.conv(x, w, (2, 2), "SAME"), ((2, 8, 16, 16), (16, 8, 3, 3))),
        (lambda x: jnp.cumsum(x, axis=0) / jnp.max(x), ((64, 128),)),
        (put, ((500, 128), (16, 128), ())),
    ],
)
def test_xla_counts_alike_where_nothing_lies_on_the_chip(f, shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32 if shape else jnp.int32) for shape in shapes]
    compiled = jax.jit(f).lower(*arguments).compile()
    assert analyse(compiled.as_text()).bytes == pytest.approx(compiled.cost_analysis()["bytes accessed"], rel=0.01)


def test_xla_counts_the_whole_of_what_a_fusion_gathers_from_and_it_is_not_read():
    arguments = jax.ShapeDtypeStruct((5000, 128), jnp.float32), jax.ShapeDtypeStruct((16,), jnp.int32)
    compiled = jax.jit(lambda x, i: x[i] * 2).lower(*arguments).compile()
    taken = 16 * 128 * 4
    assert analyse(compiled.as_text()).bytes == pytest.approx(2 * taken, rel=0.01)
    assert compiled.cost_analysis()["bytes accessed"] > 5000 * 128 * 4
