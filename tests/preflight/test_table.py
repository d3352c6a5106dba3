import dataclasses
import io

import pytest
import toy_experiment
from rich.console import Console

from gen_jax.preflight.advice import Advice
from gen_jax.preflight.collectives import Collective
from gen_jax.preflight.compiled import Memory, OutOfMemory
from gen_jax.preflight.costs import Costs
from gen_jax.preflight.donation import Donation
from gen_jax.preflight.report import Preflight, ProgramReport
from gen_jax.preflight.roofline import roofline
from gen_jax.preflight.table import bytes_moved, bytes_of_memory, count, duration, print_preflight, share
from gen_jax.preflight.topology import parse_topology

MEMORY = Memory(arguments=3 << 30, output=1 << 30, aliased=1 << 29, temporaries=4 << 30, code=1 << 20)
COSTS = Costs(flops=2 * 10**12, matrix_flops=10**12, bytes=4 * 10**9)
SUMS = Collective("all-reduce", 142_985_228, 8, 1, "f32", 402, "transpose(jvp(UNet))/ResidualBlock_0/Conv_0")


def report(name, title, topology, **changes):
    bounds = roofline(COSTS, [SUMS], 10.0**6, topology, 4096)
    made = ProgramReport(name, title, 4096, MEMORY, None, COSTS, (SUMS,), 10.0**6, None, bounds, 61.2)
    return dataclasses.replace(made, **changes)


def made(name="v5e:2x4", slices=1, **changes):
    topology = parse_topology(name, slices)
    programs = (
        report("train", "train step", topology, donation=Donation(12, ("carry",)), **changes),
        report("sample", "samples", topology, collectives=()),
        report("evaluate", "evaluation", topology),
    )
    config = dataclasses.replace(toy_experiment.EXPERIMENT.presets["default"], batch_size=4096)
    devices = topology.slice_chips * slices * topology.chip.devices
    return Preflight(
        "ddpm", "cifar10", True, config, topology, devices, "TPU", topology.chip.usable, {"net": 35_746_307}, programs
    )


def printed(found, advice=None, width=80):
    file = io.StringIO()
    print_preflight(Console(file=file, width=width), found, advice)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 60])
@pytest.mark.parametrize(("name", "slices"), [("v5e:2x4", 1), ("tpu7x:2x2x2", 1), ("v4:8x16x16", 16)])
def test_lines_are_no_longer_than_the_terminal(name, slices, width):
    text = printed(made(name, slices), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "�" not in text


def test_all_that_was_asked_for_is_there():
    text = printed(made())
    for expected in (
        "ddpm on cifar10, compiled for v5e:2x4 (8 chips)",
        "batch 4,096, 512 a chip, float32",
        "net 35,746,307",
        "7.50 GiB 48%",
        "11 of 12",
        "not reused: carry",
        "all-reduce of 402 f32",
        "143 MB",
        "250 MB",
        "5.08 ms",
        "arithmetic",
        "nothing is measured",
        "samples: nothing is exchanged, so every chip draws all of them",
    ):
        assert expected in text, expected
    # What follows from a model of the hardware is marked, line by line.
    for line in text.splitlines():
        if line.startswith(("least time", "  bound by", "share of peak", "examples/s", "FLOPs a byte")):
            assert "computed" in line


def test_two_cores_of_a_chip_are_told_apart():
    text = " ".join(printed(made("tpu7x:2x2x2")).split())
    assert "(8 chips, 2 cores a chip that JAX sees as devices)" in text
    assert "memory of a core, of 94.7 GiB" in text


def test_slices_have_a_network():
    assert "to other slices" in printed(made(slices=2))
    assert "to other slices" not in printed(made())


def test_what_does_not_fit_is_said_in_words():
    trouble = OutOfMemory(20 << 30, int(15.75 * (1 << 30)))
    found = made(memory=None, trouble=trouble, costs=None, collectives=(), roofline=None)
    text = " ".join(printed(found, []).split())
    assert "out of memory: train step needs at least 20.0 GiB of the 15.8 GiB that a chip has" in text
    assert "no setting that was tried would fit" in text
    advice = [Advice({"remat": True, "accumulate": 2}, made())]
    assert "--remat --accumulate 2 (7.50 GiB of a chip)" in " ".join(printed(found, advice).split())


@pytest.mark.parametrize(
    ("tell", "value", "text"),
    [
        (bytes_of_memory, 1023, "1023 B"),
        (bytes_of_memory, 1 << 30, "1.00 GiB"),
        (bytes_of_memory, 15.75 * (1 << 30), "15.8 GiB"),
        (bytes_moved, 0, "0"),
        (bytes_moved, 999_999, "1.00 MB"),
        (bytes_moved, 123_456_789, "123 MB"),
        (count, 35_746_307, "35.7 M"),
        (count, 12, "12"),
        (duration, 0.0123, "12.3 ms"),
        (duration, 61.5, "61.50 s"),
        (duration, 3e-8, "30 ns"),
        (share, 0.48, "48%"),
        (share, 0.012, "1.2%"),
        (share, 0.0, "0%"),
        (share, 0.0001, "<0.1%"),
    ],
)
def test_numbers_have_three_digits_and_a_unit(tell, value, text):
    assert tell(value) == text
