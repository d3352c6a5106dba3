import numpy as np
import pytest

from gen_jax.data import Dataset, Field, Split, load_dataset
from gen_jax.show.figures import few_of, plain
from gen_jax.show.grid import compared, image_grid, image_pairs, picture, samples_for
from gen_jax.show.text import sentence
from gen_jax.show.words import worded, worded_example

RNG = np.random.default_rng(0)
NAMES = ("the", "cat", "sat", "on")
# What is drawn, its field, and one sample in its place that has to be seen.
SHOWN = {
    "series": (RNG.normal(size=(9, 24, 3)).astype(np.float32), Field("series", (24, 3)), np.float32(2)),
    "audio": (RNG.uniform(-0.5, 0.5, (6, 900)).astype(np.float32), Field("audio", (900,)), np.float32(1)),
    "tokens": (RNG.integers(0, 4, (8, 20)), Field("tokens", (20,), NAMES), 0),
    "numbers": (RNG.integers(0, 40, (8, 20)), Field("tokens", (20,), values=40), 0),
    "table": (RNG.normal(size=(200, 5)).astype(np.float32), Field("table", (5,)), np.float32(3)),
    "rows": (RNG.normal(size=(8, 5)).astype(np.float32), Field("table", (5,)), np.float32(3)),
    "label": (RNG.integers(0, 4, 40), Field("label", (), NAMES), 0),
    "attributes": (RNG.integers(0, 2, (8, 4)).astype(np.float32), Field("attributes", (4,), NAMES), np.float32(0.5)),
    "codes": (RNG.integers(0, 64, (8, 4, 4)), Field("codes", (4, 4), values=64), 0),
    "lists of codes": (RNG.normal(size=(8, 12)).astype(np.float32), Field("codes", (12,)), np.float32(0)),
    "maps of codes": (RNG.normal(size=(8, 4, 4, 2)).astype(np.float32), Field("codes", (4, 4, 2)), np.float32(0)),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_shows_the_samples_the_same_each_time(name):
    samples, field, value = SHOWN[name]
    first = picture(samples, field)
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    assert 100 < first.shape[0] <= 900
    assert 300 < first.shape[1] <= 1000
    # White at the border: nothing is cut off.
    assert all((edge == 255).all() for edge in (first[0], first[-1], first[:, 0], first[:, -1]))
    np.testing.assert_array_equal(picture(samples, field), first)
    changed = samples.copy()
    changed[1] = value
    other = picture(changed, field)
    assert other.shape != first.shape or (other != first).any()


@pytest.mark.parametrize("name", ["series", "audio", "table", "rows", "attributes", "lists of codes", "maps of codes"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_numbers_that_no_model_should_make_are_drawn_without_a_warning(name, value):
    samples, field, _ = SHOWN[name]
    spoilt = samples.copy()
    spoilt[0] = value
    assert picture(spoilt, field).shape[2] == 3
    assert picture(np.full_like(samples, value), field).shape[2] == 3


@pytest.mark.parametrize("name", ["table", "label"])
def test_samples_stand_beside_real_examples_where_given(name):
    samples, field, _ = SHOWN[name]
    alone, beside = picture(samples, field), picture(samples, field, real=samples[:30])
    orange = [(p[..., 0] > 200) & (p[..., 2] < 160) & (p[..., 1] < 215) for p in (alone, beside)]
    assert not orange[0].any()
    assert orange[1].sum() > 100


def test_columns_are_as_told():
    samples, field, _ = SHOWN["series"]
    wide, high = picture(samples, field, columns=9), picture(samples, field, columns=1)
    assert wide.shape[1] > 2 * wide.shape[0]
    assert high.shape[0] > 2 * high.shape[1]


def test_words_are_joined_by_spaces_and_letters_by_nothing():
    assert sentence([1, 2, 3, 0, 1], NAMES) == "cat sat on the cat"
    assert sentence([1, 9, -1], NAMES) == "cat <9> <-1>"
    assert sentence([1, 2, 0], ("<end>", "a", "b", "c")) == "ab<end>"
    assert sentence([3, 14], None) == "3 14"


def test_words_are_drawn_as_they_are():
    assert plain("$x_1$") == r"\$x_1\$"
    assert plain("a\nb\x00\u200b") == r"a↵b\x00\u200b"
    assert plain("a" * 30) == "a" * 19 + "…"
    # Neither a formula nor a letter that the font lacks stops a picture; warnings are errors here.
    field = Field("tokens", (2,), ("$\\frac{$", "日本", "\n", "a\tb"))
    assert picture(RNG.integers(0, 4, (4, 2)), field).shape[2] == 3
    assert picture(RNG.integers(0, 4, 9), Field("label", (), field.names)).shape[2] == 3
    assert picture(np.zeros((30, 4), np.float32), Field("table", (4,), field.names)).shape[2] == 3
    assert (few_of(9, 9, "samples"), few_of(36, 1200, "samples")) == ("9 samples", "36 of 1,200 samples")


@pytest.mark.parametrize(
    ("samples", "field"),
    [
        (np.zeros((500, 9, 1), np.float32), Field("series", (9, 1))),
        (np.zeros((500, 900), np.int32), Field("tokens", (900,), NAMES)),
        (np.zeros((60, 200), np.float32), Field("table", (200,))),
        (np.zeros(500, np.int32), Field("label", (), values=1000)),
        (np.ones((500, 200), np.float32), Field("attributes", (200,))),
    ],
    ids=lambda value: value.kind if isinstance(value, Field) else "",
)
def test_many_are_cut_to_what_can_be_seen(samples, field):
    assert max(picture(samples, field).shape) <= 1300


def test_a_label_that_is_no_class_is_said_to_be_none():
    labels = np.array([0, 1, 2, 3])
    field = Field("label", (), NAMES)
    for wrong in (-1, 4):
        assert picture(np.append(labels, wrong), field).shape[0] > picture(labels, field).shape[0]


def test_a_pair_of_images_is_a_column():
    first = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.ones((1, 2, 2, 1), np.uint8)
    pairs = image_pairs(first, first + 10, columns=3)
    factor = pairs.shape[1] // 10
    small = pairs[::factor, ::factor, 0]
    # Lines around each, and one more between pairs.
    np.testing.assert_array_equal(small[[2, 3, 5, 6]][:, [1, 4, 7]], [[0, 1, 2], [0, 1, 2], [10, 11, 12], [10, 11, 12]])
    assert (small[[0, 1, 4, 7, 8]] == 128).all()
    coloured = image_pairs(first, np.zeros((3, 4, 6, 3), np.uint8))
    assert coloured.shape[2] == 3


def test_images_are_the_grid_and_points_the_plot_as_before():
    images = RNG.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(picture(images, Field("image", (4, 4, 3))), image_grid(images))
    np.testing.assert_array_equal(picture(images, Field("image", (4, 4, 3)), columns=5), image_grid(images, 5))


def test_only_distributions_are_compared_with_real_examples():
    rows = np.arange(4000, dtype=np.float32).reshape(2000, 2)
    table = Dataset("t", Split(2000, {"x": rows}), Split(2000, {"x": rows}), {"x": Field("table", (2,))}, "f")
    np.testing.assert_array_equal(compared(table), rows[:1000])
    assert compared(load_dataset("ring8")) is None
    counts = [samples_for(field, 16) for field in (table.fields["x"], Field("points", (2,)), Field("image", (8, 8, 1)))]
    assert counts == [512, 512, 16]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field("image", (8, 8, 1)), "8×8×1 pixels"),
        (Field("points", (2,)), "a point of the plane"),
        (Field("series", (24, 3)), "24 steps of 3 channels"),
        (Field("series", (1, 1)), "1 step of 1 channel"),
        (Field("audio", (16000,)), "a sound of 16,000 values"),
        (Field("tokens", (16,), tuple(map(str, range(40)))), "16 words of 40"),
        (Field("tokens", (16,), values=40), "16 tokens of 40"),
        (Field("table", (10,)), "10 columns"),
        (Field("label", (), values=2), "2 classes"),
        (Field("attributes", (40,)), "40 attributes"),
        (Field("codes", (7, 7), values=512), "7×7 codes of 512 values"),
        (Field("codes", (64,)), "64 codes"),
    ],
)
def test_a_field_in_words(field, words):
    assert worded(field) == words


def test_an_example_in_words():
    x = Field("image", (8, 8, 1))
    assert worded_example({"x": x, "label": Field("label", (), NAMES)}) == "8×8×1 pixels, 4 classes"
    fields = {"x": x, "y": Field("tokens", (5,), values=9)}
    assert worded_example(fields, {"photos": (1200, 30)}) == (
        "8×8×1 pixels, y: 5 tokens of 9, a stream photos of 1,200 and 30"
    )
