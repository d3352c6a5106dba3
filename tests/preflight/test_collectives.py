"""Exchanges between devices: on eight of a CPU, and as XLA writes them for TPUs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.preflight.collectives import Collective, collectives, group_size, merged, totals
from gen_jax.preflight.hlo import parse

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "fsdp"))


def compiled(mesh: Mesh, f, out: PartitionSpec, *arguments: tuple[tuple[int, ...], PartitionSpec]) -> str:
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32, sharding=NamedSharding(mesh, spec)) for s, spec in arguments]
    return jax.jit(f, out_shardings=NamedSharding(mesh, out)).lower(*shapes).compile().as_text()


def test_the_mean_of_what_is_split_is_one_all_reduce(mesh):
    split = PartitionSpec(("data", "fsdp"))
    found = collectives(compiled(mesh, lambda x: jnp.mean(x, axis=0), PartitionSpec(), ((64, 100), split)))
    assert [(each.kind, each.bytes, each.group_size, each.count) for each in found] == [("all-reduce", 400, 8, 1)]
    assert found[0].wire_bytes == 400 * 2 * 7 / 8


def test_parameters_that_are_split_are_gathered_and_loops_are_counted(mesh):
    def f(w, x):
        def layer(h, w):
            whole = jax.lax.with_sharding_constraint(w, NamedSharding(mesh, PartitionSpec()))
            return jnp.tanh(h @ whole), None

        return jax.lax.scan(layer, x, w)[0]

    split, batch = PartitionSpec(None, "fsdp"), PartitionSpec(("data", "fsdp"))
    found = collectives(compiled(mesh, f, batch, ((6, 32, 32), split), ((16, 32), batch)))
    gathered = [each for each in found if each.kind == "all-gather"]
    assert sum(each.bytes * each.count for each in gathered) == 6 * 32 * 32 * 4
    assert {each.group_size for each in gathered} == {4}
    assert sum(each.wire_bytes for each in gathered) == 6 * 32 * 32 * 4 * 3 / 4


SUM = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}
"""


def of(lines: str, fused: str = "") -> list[Collective]:
    text = f"HloModule m, num_partitions=8\n{SUM}{fused}\nENTRY %main (x: f32[]) -> f32[] {{\n{lines}\n}}\n"
    return collectives(text)


def test_combined_and_asynchronous_ones():
    found = of("""
  %x = f32[32] parameter(0)
  %h = bf16[4,8] parameter(1)
  %both = (f32[32], bf16[4,8]) all-reduce(%x, %h), replica_groups={}, to_apply=%add
  %start = f32[32] all-reduce-start(%x), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %done = f32[32] all-reduce-done(%start)
  %gather = (f32[32], f32[64]) all-gather-start(%done), replica_groups=[4,2]<=[8], dimensions={0}
  %gathered = f32[64] all-gather-done(%gather)
  %pair = ((f32[32], f32[64]), (f32[64], f32[128])) all-gather-start(%x, %gathered), replica_groups=[4,2]<=[8]
  %pairs = (f32[64], f32[128]) all-gather-done(%pair)
  %send = (f32[32], f32[32], u32[], u32[]) collective-permute-start(%x), source_target_pairs={{0,1},{1,2},{2,0}}
  %sent = f32[32] collective-permute-done(%send)
  ROOT %alone = f32[32] all-reduce(%sent), replica_groups={{0},{1}}, to_apply=%add
""")
    assert found == [
        Collective("all-reduce", 32 * 4 + 32 * 2, 8, 1, "bf16+f32", 2, "(argument)"),
        Collective("all-reduce", 128, 4, 1, "f32", 1, "(argument)"),
        Collective("all-gather", 256, 2, 1, "f32", 1, "(argument)"),
        Collective("all-gather", 256 + 512, 2, 1, "f32", 2, "(argument)"),
        Collective("collective-permute", 128, 3, 1, "f32", 1, "(argument)"),
    ]


def test_one_that_a_wrapper_starts():
    wrapped = """
%wrapped (p: f32[64]) -> f32[8] {
  %p = f32[64] parameter(0)
  ROOT %r = f32[8] reduce-scatter(%p), replica_groups=[1,8]<=[8], dimensions={0}, to_apply=%add
}
"""
    found = of(
        """
  %x = f32[64] parameter(0)
  %s = ((f32[64]), f32[8], s32[]) async-start(%x), calls=%wrapped
  %u = ((f32[64]), f32[8], s32[]) async-update(%s)
  ROOT %d = f32[8] async-done(%u)
""",
        wrapped,
    )
    assert [(each.kind, each.bytes, each.group_size, each.count) for each in found] == [("reduce-scatter", 256, 8, 1)]


def test_one_that_another_unit_of_the_chip_runs():
    called = """
%called (p: f32[64], q: f32[2,4]) -> (f32[64], f32[2,4]) {
  %p = f32[64] parameter(0)
  %q = f32[2,4] parameter(1)
  ROOT %r = (f32[64], f32[2,4]) all-reduce(%p, %q), replica_groups=[1,8]<=[8], to_apply=%add
}, execution_thread="sparsecore"
"""
    found = of(
        """
  %x = f32[64] parameter(0)
  %y = f32[2,4] parameter(1)
  %b = s32[]{:S(2)} custom-call(), custom_call_target="PrepareAsyncCallStart"
  %t = token[] custom-call(%b), custom_call_target="PrepareAsyncCallDone"
  %s = ((f32[64], f32[2,4], token[]), (f32[64], f32[2,4])) call-start(%x, %y, %t),
... async_execution_thread="sparsecore", to_apply=%called
  ROOT %d = (f32[64], f32[2,4]) call-done(%s)
""".replace("\n...", ""),
        called,
    )
    assert found == [Collective("all-reduce", 256 + 32, 8, 1, "f32", 2, "(argument)")]


SCATTERED = """
%scatter (p: f32[16,8], q: f32[4]) -> (f32[2,8], f32[1]) {
  %p = f32[16,8] parameter(0)
  %q = f32[4] parameter(1)
  %zero = f32[] constant(0)
  %filled = f32[8] pad(%q, %zero), padding=0_4
  %both = (f32[16,8], f32[8]) all-reduce(%p, %filled), replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  %one = f32[16,8] get-tuple-element(%both), index=0
  %two = f32[8] get-tuple-element(%both), index=1
  %i = u32[] partition-id()
  %own = f32[2,8] dynamic-slice(%one, %i, %i), dynamic_slice_sizes={2,8}
  %part = f32[1] dynamic-slice(%two, %i), dynamic_slice_sizes={1}
  ROOT %t = (f32[2,8], f32[1]) tuple(%own, %part)
}
"""


def test_a_fusion_of_which_each_keeps_its_part_is_a_reduce_scatter():
    lines = """
  %x = f32[16,8] parameter(0)
  %y = f32[4] parameter(1)
  ROOT %f = (f32[2,8], f32[1]) fusion(%x, %y), kind=kCustom, calls=%scatter,
... metadata={op_name="jit(f)/while/body/transpose(jvp(Net))/Dense_0/dot_general"}
""".replace("\n...", "")
    expected = Collective("reduce-scatter", 16 * 8 * 4 + 32, 8, 1, "f32", 2, "transpose(jvp(Net))/Dense_0")
    assert of(lines, SCATTERED) == [expected]
    (whole,) = of(lines, SCATTERED.replace("dynamic-slice(%two, %i)", "negate(%two)"))
    assert whole.kind == "all-reduce"


GROUPS = [
    ("replica_groups={{0,4},{1,5}}", 2),
    ("replica_groups={}", 8),
    ("replica_groups=[2,4]<=[8]", 4),
    ("replica_groups=[4,2]<=[2,4]T(1,0)", 2),
    ("replica_groups=mesh['axis_0'=8] {'axis_0'}", 8),
    ("replica_groups=mesh['data'=2,'fsdp'=4] {'fsdp'}", 4),
    ("replica_groups=mesh['data'=2,'fsdp'=4] {'data','fsdp'}", 8),
    ("replica_groups=mesh['x'=8] {'x':(1)2}", 2),
    ("replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'b'}", 4),
]


@pytest.mark.parametrize(("written", "size"), GROUPS)
def test_groups_however_they_are_written(written, size):
    text = f"HloModule m\n{SUM}\nENTRY %main (x: f32[]) -> f32[] {{\n  %x = f32[4] parameter(0)\n"
    text += (
        f"  ROOT %y = f32[4] all-reduce(%x), channel_id=1, {written}, use_global_device_ids=true, to_apply=%add\n}}\n"
    )
    assert group_size(parse(text).computations["main"].instructions["y"], 8) == size


def test_bytes_on_the_wire():
    sent = {kind: Collective(kind, 1000, 5, 3, "f32").wire_bytes for kind in ("all-reduce", "all-gather", "all-to-all")}
    assert sent == pytest.approx({"all-reduce": 3 * 1600, "all-gather": 3 * 800, "all-to-all": 3 * 800})
    assert Collective("reduce-scatter", 1000, 2, 1, "f32").wire_bytes == 500
    assert Collective("collective-permute", 1000, 8, 2, "f32").wire_bytes == 2000


def test_equal_ones_are_merged_and_kinds_summed():
    a = Collective("all-gather", 100, 4, 2, "f32", 1, "Dense_0")
    b = Collective("all-reduce", 100, 4, 1, "f32", 1, "Dense_0")
    c = Collective("all-gather", 50, 4, 1, "f32", 1, "Dense_1")
    assert merged([a, b, a, c]) == [Collective("all-gather", 100, 4, 4, "f32", 1, "Dense_0"), b, c]
    assert [(each.kind, each.count, each.bytes, each.wire_bytes) for each in totals([a, b, a, c])] == [
        ("all-gather", 5, 450, 337.5),
        ("all-reduce", 1, 100, 150.0),
    ]


def test_one_that_runs_beside_fusions_counts_once():
    # It stands in the fusion that starts it, in one that it runs beside, and in the one that waits for it.
    gather = "%g = bf16[512,512] all-gather(%p), replica_groups=[1,8]<=[8], dimensions={0}, "
    gather += 'backend_config={"async_collective_fusion_config":{}}'
    begin = "(p: bf16[64,512], q: bf16[512,512]) -> bf16[512,512] {\n  %p = bf16[64,512] parameter(0)\n  "
    begin += f"%q = bf16[512,512] parameter(1)\n  {gather}\n  "
    shape = "(bf16[64,512], bf16[512,512])"
    fused = f'%start {begin}ROOT %s = {shape} custom-call(%g), custom_call_target="AsyncCollectiveStart"\n}}\n\n'
    fused += f"%beside {begin}%n = bf16[512,512] negate(%q)\n  ROOT %b = {shape} tuple(%p, %g)\n}}\n\n"
    fused += f'%end {begin}ROOT %e = bf16[512,512] custom-call(%p, %g), custom_call_target="AsyncCollectiveDone"\n}}\n'
    found = of(
        f"""
  %x = bf16[64,512] parameter(0)
  %y = bf16[512,512] parameter(1)
  %s = {shape} fusion(%x, %y), kind=kCustom, calls=%start
  %b = {shape} fusion(%x, %y), kind=kLoop, calls=%beside
  ROOT %e = bf16[512,512] fusion(%x, %y), kind=kCustom, calls=%end
""",
        "\n" + fused,
    )
    assert found == [Collective("all-gather", 512 * 512 * 2, 8, 1, "bf16", 1, "(argument)")]
