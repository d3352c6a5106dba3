import pytest

from gen_jax.preflight.collectives import Collective
from gen_jax.preflight.costs import Costs
from gen_jax.preflight.roofline import roofline
from gen_jax.preflight.topology import Topology, parse_topology

GIGA = 10**9


def all_reduce(size, group=8, kind="all-reduce"):
    return Collective(kind, size, group, 1, "f32")


def test_the_slowest_resource_is_the_bound():
    topology = parse_topology("v5e:2x4")
    costs = Costs(flops=300 * GIGA, matrix_flops=197 * GIGA, bytes=819_000_000)
    found = roofline(costs, [], 0.0, topology, examples=64)
    # 197 GFLOP at 197 TFLOP/s, and 819 MB at 819 GB/s, take a millisecond each.
    assert found.times["arithmetic"] == pytest.approx(1e-3)
    assert found.times["memory traffic"] == pytest.approx(1e-3)
    assert found.seconds == pytest.approx(1e-3)
    assert found.share_of_peak == pytest.approx(1.0)
    assert found.examples_per_second == pytest.approx(64_000)
    assert found.ridge == pytest.approx(197e12 / 819e9)
    assert found.intensity == pytest.approx(found.ridge)
    slower = roofline(Costs(0, 197 * GIGA, 8_190_000_000), [], 0.0, topology, examples=64)
    assert slower.bound == "memory traffic"
    assert slower.share_of_peak == pytest.approx(0.1)
    assert roofline(Costs(0, 197 * GIGA, 1), [], 0.0, topology, 64).bound == "arithmetic"


def test_an_all_reduce_is_sent_over_all_links():
    # Of 8 chips each sends 2 * 7/8 of the bytes, over one link along each of two axes.
    found = roofline(Costs(0, 1, 1), [all_reduce(90 * GIGA)], 0.0, parse_topology("v5e:2x4"), 8)
    assert found.times["interconnect"] == pytest.approx(2 * 7 / 8)
    assert found.bound == "interconnect"
    assert found.share_of_peak < 1e-12


def test_two_cores_of_a_chip_share_its_links_and_send_their_sum_once():
    topology = parse_topology("tpu7x:2x2x2")
    sent = {
        kind: roofline(Costs(0, 1, 1), [all_reduce(270 * GIGA, 16, kind)], 0.0, topology, 8).times["interconnect"]
        for kind in ("all-reduce", "all-gather")
    }
    # 8 chips with a link along each of three axes, 270 GB/s: 2 * 7/8 of the bytes of an all-reduce leave each of them;
    # of an all-gather two cores' shares of a sixteenth each go to 7 others.
    assert sent["all-reduce"] == pytest.approx(2 * 7 / 8)
    assert sent["all-gather"] == pytest.approx(2 * 7 / 8)
    # Within a chip nothing is sent.
    alone = roofline(Costs(0, 1, 1), [all_reduce(270 * GIGA, 2)], 0.0, topology, 8)
    assert alone.times["interconnect"] == 0


def test_a_core_has_half_of_its_chip():
    costs = Costs(0, 2307 * GIGA, 7_380_000_000)
    found = roofline(costs, [], 0.0, parse_topology("tpu7x:2x2x2"), 8)
    assert found.times["arithmetic"] == pytest.approx(2e-3)
    assert found.times["memory traffic"] == pytest.approx(2e-3)


def test_what_is_sent_to_other_slices_goes_over_the_network():
    found = roofline(Costs(0, 1, 1), [], 3.125e9, parse_topology("v5e:2x4", 2), 8)
    assert found.times["network"] == pytest.approx(1.0)
    assert found.bound == "network"


def test_nothing_is_said_of_devices_at_hand():
    assert roofline(Costs(1, 1, 1), [], 0.0, Topology(), 8) is None


def test_a_program_that_does_nothing_takes_no_time():
    found = roofline(Costs(0, 0, 0), [], 0.0, parse_topology("v5e:1x1"), 8)
    assert (found.seconds, found.share_of_peak, found.examples_per_second, found.intensity) == (0, 0, 0, 0)
