"""The 1,797 handwritten digits, 8 x 8, that come inside scikit-learn: real images with nothing to download.

They are the test part of the UCI "Optical Recognition of Handwritten Digits" set (Alpaydin and Kaynak 1998).
"""

from importlib import metadata

import numpy as np
from jaxtyping import Int32

from gen_jax.data.cache import cached
from gen_jax.data.dataset import Arrays, Dataset, Split, fingerprint
from gen_jax.data.decode import fit
from gen_jax.data.field import image_fields

HELD_OUT = 0.2


def digits(image_size: int | None = None) -> Dataset:
    """The digits as uint8 (8, 8, 1) images, or resized to `image_size`; a fixed fifth of every class is held out."""
    # To import scikit-learn takes longer than all that is done here.
    stored = cached(f"digits-scikit-learn-{metadata.version('scikit-learn')}", from_scikit_learn)
    # Grey levels 0..16: spread over the whole of 0..255.
    pixels, label = np.rint(stored["x"] * (255.0 / 16.0)).astype(np.uint8), stored["label"]
    if image_size is not None:
        from PIL import Image

        pixels = np.stack([np.asarray(fit(Image.fromarray(image), image_size)) for image in pixels])
    arrays = {"x": pixels[..., None], "label": label}
    held_out = stratified(arrays["label"], HELD_OUT)
    test = np.isin(np.arange(len(label)), held_out)
    return Dataset(
        name="digits",
        train=Split(int(np.sum(~test)), {name: array[~test] for name, array in arrays.items()}),
        test=Split(int(np.sum(test)), {name: array[test] for name, array in arrays.items()}),
        fields=image_fields(arrays["x"].shape[1:], tuple("0123456789")),
        fingerprint=fingerprint("digits", arrays["x"].shape, HELD_OUT),
    )


def from_scikit_learn() -> Arrays:
    """All digits: "x", uint8 (1797, 8, 8) from 0 to 16, and "label", int32 (1797,)."""
    from sklearn.datasets import load_digits

    raw, label = load_digits(return_X_y=True)
    return {"x": raw.reshape(-1, 8, 8).astype(np.uint8), "label": label.astype(np.int32)}


def stratified(label: Int32[np.ndarray, " size"], share: float) -> Int32[np.ndarray, " held_out"]:
    """Sorted positions of about `share` of every class, always the same ones."""
    rng = np.random.default_rng(0)
    chosen = []
    for k in np.unique(label):
        members = np.flatnonzero(label == k)
        chosen.append(rng.permutation(members)[: round(share * len(members))])
    return np.sort(np.concatenate(chosen)).astype(np.int32)
