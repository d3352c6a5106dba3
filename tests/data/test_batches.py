import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gen_jax.data import Resident, Split, Streamed, batch_indices, evaluation_batches, open_source
from gen_jax.data.batches import BatchSource
from gen_jax.errors import ConfigError, DataError
from gen_jax.preflight.collectives import collectives

SIZE = 50
# Every pixel of example i is i, and its label is 2 i: a row out of place shows.
IMAGES = np.broadcast_to(np.arange(SIZE, dtype=np.uint8)[:, None, None, None], (SIZE, 4, 4, 1)).copy()
LABELS = (2 * np.arange(SIZE)).astype(np.int32)
RESIDENT = Split(SIZE, {"x": IMAGES, "label": LABELS})
STREAMING = Split(SIZE, read=lambda indices: {"x": IMAGES[indices], "label": LABELS[indices]})


@pytest.fixture
def stream():
    opened = []

    def open_stream(split=STREAMING, **options):
        opened.append(Streamed(split, threads=2, prefetch=2, **options))
        return opened[-1]

    yield open_stream
    for source in opened:
        source.close()


def draw_all(source, steps, draws):
    batch = jax.jit(source.batch)
    for step in steps:
        feed = source.feed(step)
        for draw in range(draws):
            yield {name: np.asarray(rows) for name, rows in batch(feed, step, draw).items()}


def mesh():
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


@pytest.mark.parametrize("start", [0, 3, 1000])
@pytest.mark.parametrize("draws", [1, 3])
def test_both_sources_give_the_same_batches_from_any_start(stream, start, draws):
    options = {"batch_size": 8, "seed": 5, "draws": draws}
    steps = range(start, start + 4)
    resident = list(draw_all(Resident(RESIDENT, **options), steps, draws))
    streamed = list(draw_all(stream(start=start, **options), steps, draws))
    assert len(resident) == len(streamed) == 4 * draws
    for n, (a, b) in enumerate(zip(resident, streamed, strict=True)):
        assert set(a) == set(b) == {"x", "label", "index"}
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
            assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a["index"], batch_indices(5, start * draws + n, 8, SIZE))
        np.testing.assert_array_equal(a["x"], IMAGES[a["index"]])
        np.testing.assert_array_equal(a["label"], LABELS[a["index"]])
        assert (a["x"].dtype, a["label"].dtype, a["index"].dtype) == (np.uint8, np.int32, np.int32)


def test_a_traced_draw_and_step_in_a_loop_on_the_device(stream):
    options = {"batch_size": 8, "seed": 0, "draws": 3}
    for source in (Resident(RESIDENT, **options), stream(**options)):
        feed = source.feed(0)
        expected = [source.batch(feed, 0, draw)["index"] for draw in range(3)]
        inside = jax.lax.map(lambda draw, s=source, f=feed: s.batch(f, jnp.int32(0), draw)["index"], jnp.arange(3))
        np.testing.assert_array_equal(inside, np.stack(expected))


def test_a_stream_must_be_read_in_order(stream):
    source = stream(batch_size=8, seed=0, draws=1, start=4)
    with pytest.raises(ValueError, match="asked for step 0, but the next is 4"):
        source.feed(0)
    source.feed(4)
    with pytest.raises(ValueError, match="asked for step 4, but the next is 5"):
        source.feed(4)
    source.feed(5)


def test_points_without_labels(stream):
    x = np.random.default_rng(0).standard_normal((SIZE, 2)).astype(np.float32)
    options = {"batch_size": 10, "seed": 0, "draws": 1}
    for source in (
        Resident(Split(SIZE, {"x": x}), **options),
        stream(Split(SIZE, read=lambda i: {"x": x[i]}), **options),
    ):
        (batch,) = draw_all(source, [0], 1)
        assert set(batch) == {"x", "index"}
        np.testing.assert_array_equal(batch["x"], x[batch["index"]])


def test_shardings_are_kept_and_change_no_batch(stream):
    devices = mesh()
    replicated = NamedSharding(devices, PartitionSpec())
    over_batch = NamedSharding(devices, PartitionSpec(None, "data"))
    options = {"batch_size": 2 * jax.device_count(), "seed": 1, "draws": 2}
    if options["batch_size"] > SIZE:
        pytest.skip("more devices than the small set can be split over")
    resident = Resident(RESIDENT, sharding=replicated, **options)
    streamed = stream(sharding=over_batch, **options)
    assert resident.feed(0)["x"].sharding.is_equivalent_to(replicated, 2)
    plain = list(draw_all(Resident(RESIDENT, **options), range(2), 2))
    for source in (resident, streamed):
        for a, b in zip(plain, draw_all(source, range(2), 2), strict=True):
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
    assert streamed.feed(2)["x"].sharding.is_equivalent_to(over_batch, 3)


def test_an_example_is_one_row_on_the_device(stream):
    feed = Resident(RESIDENT, batch_size=8, seed=0, draws=1).feed(0)
    assert {name: array.shape for name, array in feed.items()} == {"x": (SIZE, 4 * 4 * 1), "label": (SIZE,)}
    feed = stream(batch_size=8, seed=0, draws=3).feed(0)
    shapes = {name: array.shape for name, array in feed.items()}
    assert shapes == {"x": (3, 8, 4 * 4 * 1), "label": (3, 8), "index": (3, 8)}


def test_devices_that_share_a_batch_need_not_talk_about_it():
    devices = mesh()
    source = Resident(RESIDENT, batch_size=16, seed=0, draws=1, sharding=NamedSharding(devices, PartitionSpec()))
    split = NamedSharding(devices, PartitionSpec("data"))
    batch = jax.jit(source.batch, out_shardings=split)
    compiled = batch.lower(source.feed(0), jnp.int32(0), 0).compile().as_text()
    assert collectives(compiled) == []
    # Nor does one do the work of all: the walk is over numbers without a sign.
    assert f"u32[{16 // jax.device_count()}]" in compiled
    assert "u32[16]" not in compiled
    drawn = batch(source.feed(0), jnp.int32(3), 0)
    assert drawn["x"].sharding.is_equivalent_to(split, 4)
    np.testing.assert_array_equal(drawn["index"], batch_indices(0, 3, 16, SIZE))
    np.testing.assert_array_equal(drawn["x"], IMAGES[drawn["index"]])


def test_open_source_picks_by_where_the_examples_are():
    options = {"batch_size": 8, "seed": 0, "draws": 1}
    for split, kind in ((RESIDENT, Resident), (STREAMING, Streamed)):
        source = open_source(split, **options)
        assert type(source) is kind
        assert isinstance(source, BatchSource)
        source.close()


def test_an_unreadable_example_stops_the_stream_with_its_own_error(stream):
    def fail(indices):
        raise DataError("the image 'a.png' cannot be read")

    source = stream(Split(SIZE, read=fail), batch_size=8, seed=0, draws=1)
    with pytest.raises(DataError, match=r"the image 'a\.png' cannot be read"):
        source.feed(0)


@pytest.mark.parametrize("source", [Resident, Streamed])
@pytest.mark.parametrize("batch_size", [0, SIZE + 1])
def test_a_batch_size_that_cannot_be_is_refused(source, batch_size):
    with pytest.raises(ConfigError, match=f"--batch-size {batch_size}: must be between 1 and .* {SIZE}"):
        source(RESIDENT, batch_size=batch_size, seed=0, draws=1)


def test_resident_refuses_a_split_that_streams():
    with pytest.raises(ValueError, match="streams"):
        Resident(STREAMING, batch_size=8, seed=0, draws=1)


@pytest.mark.parametrize("split", [RESIDENT, STREAMING])
@pytest.mark.parametrize("batch_size", [1, 7, 50, 64, 200])
def test_evaluation_sees_every_example_once_in_order(split, batch_size):
    batches = list(evaluation_batches(split, batch_size))
    assert len(batches) == -(-SIZE // batch_size)
    assert all(batch["x"].shape == (batch_size, 4, 4, 1) and batch["mask"].dtype == bool for batch in batches)
    real = np.concatenate([batch["index"][batch["mask"]] for batch in batches])
    np.testing.assert_array_equal(real, np.arange(SIZE))
    for batch in batches:
        np.testing.assert_array_equal(batch["x"], IMAGES[batch["index"]])
        np.testing.assert_array_equal(batch["label"], LABELS[batch["index"]])
    last = batches[-1]
    filled = np.flatnonzero(~last["mask"])
    np.testing.assert_array_equal(last["index"][filled], last["index"][(filled - last["mask"].sum())[: len(filled)]])


def test_evaluation_needs_a_batch():
    with pytest.raises(ConfigError, match="must be 1 or more"):
        next(evaluation_batches(RESIDENT, 0))
