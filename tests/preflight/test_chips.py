import math

import pytest

from gen_jax.preflight.chips import CHIPS, GIB


def test_generations_are_those_that_can_be_compiled_for():
    assert list(CHIPS) == ["v4", "v5e", "v5p", "v6e", "tpu7x"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [("v4", (8, 16, 16)), ("v5e", (16, 16)), ("v5p", (16, 16, 24)), ("v6e", (16, 16)), ("tpu7x", (16, 24, 24))],
)
def test_largest_slices_are_offered_and_larger_ones_are_not(name, shape):
    chip = CHIPS[name]
    assert chip.offers(shape)
    assert not chip.offers((*shape[:-1], 2 * shape[-1] + 8 * (name == "v4") * 16))


def test_slices_are_squares_of_chips_or_cubes_of_four_in_order():
    offered = {"v5e": [(4, 8)], "v4": [(4, 4, 8)]}
    not_offered = {"v5e": [(8, 4), (4, 4, 4)], "v4": [(8, 4, 4), (4, 4, 6)], "v5p": [()]}
    assert all(CHIPS[name].offers(shape) for name, shapes in offered.items() for shape in shapes)
    assert not any(CHIPS[name].offers(shape) for name, shapes in not_offered.items() for shape in shapes)


def test_memory_that_programs_may_use_is_a_little_less_than_there_is():
    for chip in CHIPS.values():
        assert 0.95 < chip.usable * chip.devices / chip.hbm < 1.01, chip.name
    assert CHIPS["tpu7x"].devices == 2
    assert CHIPS["tpu7x"].usable < 96 * GIB


@pytest.mark.parametrize(
    ("name", "shape", "links"),
    [
        # A whole pod of 16 x 16 closes along both axes; a part of it is a grid.
        ("v5e", (16, 16), 4),
        ("v5e", (8, 16), 3),
        ("v5e", (4, 4), 2),
        ("v5e", (1, 1), 0),
        # Cubes are closed by optical switches along all three axes, smaller slices are not.
        ("v4", (4, 4, 4), 6),
        ("v4", (2, 2, 4), 3),
        ("v4", (2, 2, 1), 2),
        ("tpu7x", (4, 8, 8), 6),
    ],
)
def test_links_of_a_chip_are_two_along_a_ring_and_one_along_a_line(name, shape, links):
    chip = CHIPS[name]
    assert chip.outgoing(shape) == pytest.approx(links * chip.link)


def test_figures_agree_with_those_of_whole_pods():
    # All-reduce bandwidth of a pod of v5e and v6e: 51.2 and 102.4 TB/s, of links said to carry 50 and 100 GB/s each
    # way, of which 45 and 90 can be had.
    for name, published in (("v5e", 51.2e12), ("v6e", 102.4e12)):
        assert 256 * CHIPS[name].outgoing((16, 16)) == pytest.approx(0.9 * published)
    # Peak of a pod: 1.1 exaflops of v4, 50.63 and 234.9 petaflops of v5e and v6e, in bfloat16.
    pods = {"v4": (4096, 1.1e18), "v5e": (256, 50.63e15), "v6e": (256, 234.9e15)}
    for name, (chips, peak) in pods.items():
        assert chips * CHIPS[name].flops == pytest.approx(peak, rel=0.03)
    assert math.isclose(CHIPS["tpu7x"].flops / CHIPS["v5p"].flops, 5.03, rel_tol=0.01)
