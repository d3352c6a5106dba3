"""The text of XLA programs, taken apart."""

import jax
import jax.numpy as jnp
import pytest

from gen_jax.preflight.hlo import parse

TEXT = r"""HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}, num_partitions=4

FileNames
1 "f.py"

StackFrames
1 {file_location_id=1 parent_frame_id=1}

%fused (p.0: f32[8], p.1: f32[8]) -> f32[8] {
  %p.1 = f32[8]{0:T(128)} parameter(1)
  %p.0 = f32[8]{0:T(128)S(1)} parameter(0)
  ROOT %sum.1 = f32[8]{0:T(128)} add(%p.0, %p.1), metadata={op_name="jit(f)/a[\"x\"]/add" stack_frame_id=1}
}, execution_thread="main"

ENTRY %main (x: f32[8]) -> (f32[8], s32[]) {
  %x = f32[8]{0:T(128)} parameter(0), metadata={op_name="x"}
  %n = s32[]{:T(128)} constant(-7)
  %c = f32[2,2]{1,0} constant({ { 1, 2 }, { 3, 4 } })
  %f = f32[8]{0:T(128)} fusion(%x, %x), kind=kLoop, calls=%fused, backend_config={"window=":"{", "calls=%none":")"}
  ROOT %t = (f32[8]{0:T(128)}, /*index=1*/s32[]{:T(128)}) tuple(%f, /*index=1*/%n)
}

"""


def test_computations_and_their_roots():
    module = parse(TEXT)
    assert list(module.computations) == ["fused", "main"]
    assert module.entry == "main"
    assert module.devices == 4
    assert [module.computations[name].root for name in ("fused", "main")] == ["sum.1", "t"]


def test_instructions():
    main = parse(TEXT).computations["main"]
    assert [line.opcode for line in main.instructions.values()] == [
        *("parameter", "constant", "constant", "fusion", "tuple"),
    ]
    fusion, root = main.instructions["f"], main.instructions["t"]
    assert fusion.operands == ("x", "x")
    assert fusion.called == ("fused",)
    assert fusion.attribute("kind") == "kLoop"
    assert fusion.attribute("window") is None  # it stands in the backend_config alone
    assert root.operands == ("f", "n")
    assert [leaf.dtype for leaf in root.shape.leaves] == ["f32", "s32"]
    assert main.instructions["n"].literal == "-7"
    assert main.instructions["x"].op_name == "x"
    assert main.users["x"] == (fusion,)
    assert main.users["t"] == ()


def test_parameters_are_in_the_order_of_arguments():
    fused = parse(TEXT).computations["fused"]
    assert [line.name for line in fused.parameters] == ["p.0", "p.1"]
    assert fused.instructions["sum.1"].op_name == 'jit(f)/a["x"]/add'


def test_operands_may_be_printed_with_their_shapes():
    text = TEXT.replace("add(%p.0, %p.1)", "add(f32[8]{0:T(128)S(1)} %p.0, f32[8]{0:T(128)} %p.1)")
    line = parse(text).computations["fused"].instructions["sum.1"]
    assert line.operands == ("p.0", "p.1")
    assert line.op_name


def test_what_jax_compiles_is_understood_whole():
    @jax.jit
    def f(x, w):
        return jax.lax.scan(lambda carry, _: (jnp.tanh(carry @ w), carry.sum()), x, None, length=5)

    text = f.lower(jnp.ones((4, 8)), jnp.ones((8, 8))).compile().as_text()
    module = parse(text)
    entry = module.computations[module.entry]
    assert [line.shape.leaves[0].dims for line in entry.parameters] == [(4, 8), (8, 8)]
    assert sum(len(each.instructions) for each in module.computations.values()) == text.count(" = ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ENTRY"),
        ("HloModule nothing\n", "ENTRY"),
        (TEXT.replace("ENTRY ", ""), "ENTRY"),
        (TEXT.replace("tuple(%f, /*index=1*/%n)", "tuple"), "no instruction"),
        (TEXT.replace("fusion(%x, %x)", "fusion((%x, %x"), "no instruction"),
    ],
)
def test_what_is_no_program_is_said(text, said):
    with pytest.raises(ValueError, match=said):
        parse(text)
