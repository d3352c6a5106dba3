import importlib.util
import os

import pytest

from gen_jax.errors import ConfigError
from gen_jax.preflight.topology import Topology, nearest_topology, parse_topology, quiet_compiler

needs_libtpu = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")


@pytest.mark.parametrize("name", ["v4:2x2x2", "v5e:16x16", "v5p:4x4x8", "v6e:2x4", "tpu7x:4x8x8", "host"])
def test_a_name_is_read_and_written(name):
    assert parse_topology(name).name == name


def test_slices_are_counted_separately():
    topology = parse_topology("v5e:4x8", 3)
    assert (topology.shape, topology.slice_chips, topology.slices) == ((4, 8), 32, 3)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("v5e:15x15", "v5e:16x16"),
        ("v5e:16x32", "v5e:16x16"),
        ("v5e:4x2", "v5e:2x4"),
        ("v5e:3x3", "v5e:2x4"),
        ("v5e", "v5e:2x4"),
        ("V5E:2x4", "v5e:2x4"),
        ("v5litepod:4x4", "v5e:4x4"),
        ("v4:8x8x4", "v4:4x8x8"),
        ("v5p:5x5x5", "v5p:4x4x8"),
        ("ironwood:4x4x4", "tpu7x:4x4x4"),
        ("v7x:2x2x2", "tpu7x:2x2x2"),
        ("hots", "host"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    assert nearest_topology(name) == nearest
    with pytest.raises(ConfigError, match=f"--topology is {name}; accepted: .*the nearest is '{nearest}'") as caught:
        parse_topology(name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "name", ["", ":", "v5e:", "v5e:0x0", "v5e:4x4x", "v5e:-4x4", "v5e:4×4", "v5e:99999999x1", "🙂"]
)
def test_whatever_is_typed_gets_one_line(name):
    with pytest.raises(ConfigError, match=r"^--topology is .*nearest is '[a-z0-9:x]+'$"):
        parse_topology(name)


@pytest.mark.parametrize(("name", "slices"), [("v5e:2x4", 0), ("v5e:2x4", 257), ("host", 2)])
def test_slices_out_of_range_are_refused(name, slices):
    with pytest.raises(ConfigError, match=f"--slices is {slices}; accepted"):
        parse_topology(name, slices)


def test_without_the_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--topology v5e:2x4 needs the TPU compiler: pip install 'gen_jax\[tpu\]'"):
        parse_topology("v5e:2x4").devices()


def test_devices_at_hand_need_no_compiler(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(Topology().devices()) == 8


def test_environment_is_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("TPU_MIN_LOG_LEVEL", "0")
    before = dict(os.environ)
    with quiet_compiler():
        assert os.environ["TPU_SKIP_MDS_QUERY"] == "1"
        assert os.environ["TPU_MIN_LOG_LEVEL"] == "0"
    assert dict(os.environ) == before


@pytest.mark.slow
@needs_libtpu
@pytest.mark.parametrize(
    ("name", "slices", "devices", "kind"),
    [
        # As on Cloud TPUs: a chip of v4 and v5p is one device, one of tpu7x is two.
        ("v4:2x2x2", 1, 8, "TPU v4"),
        ("v5e:16x16", 2, 512, "TPU v5 lite"),
        ("v5p:2x2x2", 1, 8, "TPU v5"),
        ("v6e:2x4", 1, 8, "TPU v6 lite"),
        ("tpu7x:2x2x2", 1, 16, "TPU7x"),
    ],
)
def test_devices_of_a_pod(name, slices, devices, kind):
    topology = parse_topology(name, slices)
    found = topology.devices()
    assert {device.device_kind for device in found} == {kind}
    assert len(found) == devices == topology.slice_chips * slices * topology.chip.devices
    # Slice by slice, so that arrays that are split over neighbours are split within a slice.
    numbers = [device.slice_index or 0 for device in found] if slices > 1 else [0] * devices
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(slices))
