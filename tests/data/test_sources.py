import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gen_jax.data import Dataset, Field, Split, Streams, batch_indices, evaluation_batches, open_source
from gen_jax.data.batches import BatchSource
from gen_jax.data.info import DataInfo
from gen_jax.data.sources import seed_of
from gen_jax.errors import ConfigError

# Row i of x is i and its pair is 100 + i; row j of y is 200 + j: a row out of place shows.
X = np.arange(24, dtype=np.float32)[:, None] * np.ones(2, np.float32)
Y = (200 + np.arange(40, dtype=np.float32))[:, None] * np.ones(3, np.float32)
TOKENS = np.arange(30, dtype=np.int32).reshape(10, 3)
MAIN = {"x": X, "pair": X + 100}
FIELDS = {"x": Field("points", (2,)), "pair": Field("points", (2,)), "y": Field("table", (3,))}


def resident(arrays):
    return Split(len(next(iter(arrays.values()))), arrays)


def streaming(arrays):
    return Split(len(next(iter(arrays.values()))), read=lambda rows: {name: a[rows] for name, a in arrays.items()})


def draw_all(source, steps, draws):
    """Batches by (step, draw), on the host; closes the source."""
    batch = jax.jit(source.batch)
    found = {}
    for step in steps:
        feed = source.feed(step)
        for draw in range(draws):
            found[step, draw] = {name: np.asarray(rows) for name, rows in batch(feed, step, draw).items()}
    source.close()
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for place in one:
        assert one[place].keys() == other[place].keys()
        for name, rows in one[place].items():
            np.testing.assert_array_equal(rows, other[place][name])
            assert rows.dtype == other[place][name].dtype


def streams(main=resident, other=resident):
    return Streams(main(MAIN), {"photos": other({"y": Y})})


def test_a_batch_has_the_entries_of_every_stream_and_where_they_lie():
    source = open_source(streams(), batch_size=8, seed=3, draws=2)
    assert isinstance(source, BatchSource)
    for batch in draw_all(source, range(9), 2).values():
        assert set(batch) == {"x", "pair", "index", "y", "index_photos"}
        assert (batch["x"].shape, batch["y"].shape) == ((8, 2), (8, 3))
        assert batch["index_photos"].dtype == np.int32
        np.testing.assert_array_equal(batch["x"], X[batch["index"]])
        # The pair stays a pair, and the other stream goes its own way.
        np.testing.assert_array_equal(batch["pair"], batch["x"] + 100)
        np.testing.assert_array_equal(batch["y"], Y[batch["index_photos"]])


def test_the_main_split_is_drawn_as_without_streams():
    alone = draw_all(open_source(resident(MAIN), batch_size=8, seed=3, draws=2), range(6), 2)
    beside = draw_all(open_source(streams(), batch_size=8, seed=3, draws=2), range(6), 2)
    for place, batch in alone.items():
        assert not set(batch) - set(beside[place])
        for name, rows in batch.items():
            np.testing.assert_array_equal(rows, beside[place][name])


def test_each_stream_has_epochs_of_its_own_length():
    found = draw_all(open_source(streams(), batch_size=8, seed=0, draws=1), range(15), 1)
    main = np.concatenate([found[step, 0]["index"] for step in range(15)])
    photos = np.concatenate([found[step, 0]["index_photos"] for step in range(15)])
    # 24 and 40 examples in batches of 8: epochs of three and of five, five and three of them.
    for index, size in ((main, 24), (photos, 40)):
        epochs = index.reshape(-1, size)
        np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(np.arange(size), epochs.shape))
        assert all((epochs[0] != epoch).any() for epoch in epochs[1:])


def test_streams_of_one_size_are_not_aligned():
    same = {"a": resident({"a": X}), "b": resident({"b": X})}
    found = draw_all(open_source(Streams(resident({"x": X}), same), batch_size=8, seed=0, draws=1), range(30), 1)
    index = {name: np.concatenate([b[name] for b in found.values()]) for name in ("index", "index_a", "index_b")}
    for one, other in (("index", "index_a"), ("index", "index_b"), ("index_a", "index_b")):
        # By chance one row in 24: 10 of 240, give or take 3.
        assert 0 < (index[one] == index[other]).sum() < 25


def test_the_order_of_a_stream_depends_on_its_name_and_the_seed_alone():
    found = draw_all(open_source(streams(), batch_size=8, seed=3, draws=1), range(2), 1)
    np.testing.assert_array_equal(found[1, 0]["index_photos"], batch_indices(seed_of(3, "photos"), 1, 8, 40))
    assert len({seed_of(seed, name) for seed in (0, 1, 2**32 - 1) for name in ("a", "b", "photos")}) == 9
    largest = draw_all(open_source(streams(), batch_size=8, seed=2**32 - 1, draws=1), range(1), 1)
    assert (largest[0, 0]["index_photos"] != found[0, 0]["index_photos"]).any()


@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize(("main", "other"), [(resident, streaming), (streaming, resident), (streaming, streaming)])
def test_streamed_and_mixed_give_what_memory_gives_from_any_step(main, other, start):
    options = {"batch_size": 8, "seed": 5, "draws": 2}
    whole = draw_all(open_source(streams(), **options), range(10), 2)
    source = open_source(streams(main, other), start=start, **options)
    assert not source.same_feed
    expected = {place: batch for place, batch in whole.items() if place[0] >= start}
    assert_same(draw_all(source, range(start, 10), 2), expected)


@pytest.mark.parametrize("other", [resident, streaming])
def test_eight_devices_draw_what_one_draws(other):
    options = {"batch_size": 8, "seed": 1, "draws": 2}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = open_source(
        streams(other=other),
        sharding=NamedSharding(mesh, PartitionSpec()),
        stream_sharding=NamedSharding(mesh, PartitionSpec(None, "data")),
        **options,
    )
    assert_same(draw_all(spread, range(4), 2), draw_all(open_source(streams(), **options), range(4), 2))


def test_a_batch_larger_than_a_stream_is_refused_before_anything_is_opened():
    def never(rows):
        raise AssertionError("read")

    with pytest.raises(ConfigError, match=r"--batch-size 12: must be .* examples in the stream 'few', 10"):
        open_source(Streams(Split(24, read=never), {"few": resident({"t": TOKENS})}), batch_size=12, seed=0, draws=1)


@pytest.mark.parametrize("batch_size", [5, 16, 24])
def test_an_evaluation_repeats_or_cuts_a_stream_to_the_length_of_the_main_split(batch_size):
    split = Streams(resident(MAIN), {"photos": streaming({"y": Y}), "few": resident({"t": TOKENS})})
    batches = list(evaluation_batches(split, batch_size))
    real = {n: np.concatenate([b[n][b["mask"]] for b in batches]) for n in ("index", "index_photos", "index_few", "t")}
    np.testing.assert_array_equal(real["index"], np.arange(24))
    np.testing.assert_array_equal(real["index_photos"], np.arange(24))
    np.testing.assert_array_equal(real["index_few"], np.arange(24) % 10)
    np.testing.assert_array_equal(real["t"], TOKENS[np.arange(24) % 10])
    assert all(batch["y"].shape == (batch_size, 3) for batch in batches)


def dataset(main=MAIN, other=None, fields=FIELDS, name="photos"):
    other = {"y": Y} if other is None else other
    stream = (streaming(other), resident({key: array[:5] for key, array in other.items()}))
    return Dataset("made", resident(main), resident(main), fields, "f", others={name: stream})


def test_a_data_set_hands_its_streams_to_training_and_evaluation():
    made = dataset()
    assert (made.train_streams.size, made.train_streams.others["photos"].size) == (24, 40)
    assert (made.test_streams.size, made.test_streams.others["photos"].size) == (24, 5)
    info = DataInfo.of(made)
    assert info.streams == {"photos": (40, 5)}
    assert DataInfo.from_json(info.as_json()) == info


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other": {"x": Y}}, "the stream 'photos' has an entry 'x', and so has the main split"),
        ({"other": {"index": Y}}, "the stream 'photos' has an entry 'index', and so has every batch"),
        ({"other": {"index_photos": Y}}, "an entry 'index_photos', and so has the stream 'photos'"),
        ({"other": {"z": Y}}, "the stream 'photos' has an entry 'z', which is not among the fields"),
        ({"name": ""}, "a stream is called ''"),
        ({"name": "a/b"}, "a stream is called 'a/b': letters, digits and underscores are accepted"),
    ],
)
def test_streams_that_could_not_be_told_apart_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataset(**change)


def test_two_streams_with_one_entry_are_refused():
    both = {name: (resident({"y": Y}), resident({"y": Y})) for name in ("a", "b")}
    with pytest.raises(ValueError, match="the stream 'b' has an entry 'y', and so has the stream 'a'"):
        Dataset("made", resident(MAIN), resident(MAIN), FIELDS, "f", others=both)
    halves = {"a": (resident({"y": Y}), resident({"x": Y}))}
    with pytest.raises(ValueError, match=r"the stream 'a' has \('y',\) to learn from, but holds out \('x',\)"):
        Dataset("made", resident(MAIN), resident(MAIN), FIELDS, "f", others=halves)
