import numpy as np

from gen_jax.data import load_dataset
from gen_jax.data.dataset import Dataset, Split
from gen_jax.data.field import image_fields
from gen_jax.metrics.content import split_digest


def of(x, label=None, fingerprint="f"):
    split = Split(len(x), {"x": x} if label is None else {"x": x, "label": label})
    return split_digest(Dataset("toy", split, split, image_fields(x.shape[1:]), fingerprint), split)


def test_digest_depends_on_the_content_alone():
    x = np.arange(16, dtype=np.uint8).reshape(4, 2, 2, 1)
    assert of(x) == of(x.copy(), fingerprint="elsewhere")
    assert of(x) != of(x[::-1])
    assert of(x) != of(x.reshape(4, 1, 4, 1))
    assert of(x) != of(x, np.zeros(4, np.int32))
    assert of(x, np.zeros(4, np.int32)) != of(x, np.ones(4, np.int32))


def test_digits_resized_to_their_own_size_are_the_same_digits():
    native, resized = load_dataset("digits"), load_dataset("digits", image_size=8)
    assert split_digest(native, native.test) == split_digest(resized, resized.test)
    assert split_digest(native, native.test) != split_digest(native, native.train)


def test_a_stream_is_known_by_its_description():
    def split(size):
        return Split(size, read=lambda positions: {})

    data = Dataset("toy", split(4), split(5), image_fields((1, 1, 1)), "f")
    assert split_digest(data, split(4)) == split_digest(data, data.train) != split_digest(data, data.test)
