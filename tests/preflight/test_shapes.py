"""Shapes and layouts of XLA's text, with sizes counted by hand."""

import pytest

from gen_jax.preflight.shapes import Leaf, parse_shape


def leaf(text: str) -> Leaf:
    (found,) = parse_shape(text).leaves
    return found


def test_array_without_layout():
    assert leaf("f32[2,3]") == Leaf("f32", (2, 3))
    assert leaf("f32[2,3]").bytes == leaf("f32[2,3]").stored_bytes == 24


def test_scalar():
    assert leaf("pred[]").elements == 1
    assert leaf("pred[]").bytes == 1


def test_layout_of_a_tpu():
    found = leaf("bf16[8,16,16,32]{3,0,2,1:T(8,128)(2,1)S(1)}")
    assert found == Leaf("bf16", (8, 16, 16, 32), (3, 0, 2, 1), ((8, 128), (2, 1)), 1)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("f32[8,128]{1,0:T(8,128)}", 4 * 8 * 128),
        ("f32[8,4]{1,0:T(8,128)}", 4 * 8 * 128),  # a row of 4 takes one of 128
        ("f32[9,129]{1,0:T(8,128)}", 4 * 16 * 256),
        ("f32[65536,32]{0,1:T(8,128)}", 4 * 65536 * 32),  # the long axis varies fastest: nothing is filled up
        ("f32[65536,32]{1,0:T(8,128)}", 4 * 65536 * 128),
        ("bf16[32]{0:T(256)(128)(2,1)}", 2 * 256),
        ("s32[]{:T(128)}", 4 * 128),
        ("u8[50000,32,32,3]{2,1,3,0:T(8,128)(4,1)}", 50000 * 3 * 32 * 128),
        ("u4[10]", 5),
    ],
)
def test_stored_bytes_fill_tiles_up(text, stored):
    assert leaf(text).stored_bytes == stored


def test_tuple_in_a_tuple():
    found = parse_shape("((f32[8]{0:T(128)}, /*index=1*/s8[2]), f32[2,4]{1,0:T(8,128)S(1)}, (), u32[]{:S(2)})")
    assert [len(part.leaves) for part in found.parts] == [2, 1, 0, 1]
    assert [each.dtype for each in found.leaves] == ["f32", "s8", "f32", "u32"]
    assert [each.space for each in found.leaves] == [0, 0, 1, 2]


def test_small_floats_are_known_and_others_are_not():
    assert leaf("f8e4m3fn[3]").bytes == 3
    with pytest.raises(ValueError, match="x7"):
        _ = leaf("x7[3]").bytes


@pytest.mark.parametrize("text", ["", "f32[2", "(f32[2]", "f32[2] f32[2]", "%f32[2]"])
def test_what_is_no_shape_is_said(text):
    with pytest.raises(ValueError, match="no shape"):
        parse_shape(text)
