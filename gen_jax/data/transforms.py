"""From raw batches to what a network sees, and back to pictures. Pure functions of (x, key), called inside the step."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Key, Num, UInt8

Images = UInt8[Array, "batch height width channels"]
Pixels = Float32[Array, "batch height width channels"]
Numbers = Float32[Array, "batch ..."]
Anything = Num[Array, "batch ..."]
PRNGKey = Key[Array, ""]
Restored = Num[Array, "..."] | Num[np.ndarray, "..."]


@runtime_checkable
class Transform(Protocol):
    """How raw examples are shown to a network. Both directions keep the shape."""

    def train(self, x: Array, key: PRNGKey) -> Array:
        """Raw training examples as a network sees them, with augmentation: float32, and int32 of what is counted."""
        ...

    def evaluate(self, x: Array, key: PRNGKey) -> Array:
        """Raw held-out examples likewise, without augmentation."""
        ...

    def restore(self, x: Restored) -> Restored:
        """What a model made, as the data are stored: images as uint8, rounded and clipped; NumPy in, NumPy out."""
        ...


@dataclasses.dataclass(frozen=True)
class Signed:
    """Grey levels 0..255 as [-1, 1]: for networks that end in a tanh, and for diffusion.

    Attributes:
        flip: mirror half of the training images from left to right.
    """

    flip: bool = False

    def train(self, x: Images, key: PRNGKey) -> Pixels:
        """Scaled, and mirrored at random if so asked."""
        return self.evaluate(_maybe_flip(x, key, self.flip), key)

    def evaluate(self, x: Images, key: PRNGKey) -> Pixels:
        """Scaled; the key is not used."""
        return x.astype(jnp.float32) / 127.5 - 1.0

    def restore(self, x: Restored) -> Restored:
        """The nearest grey level."""
        return _to_uint8((x + 1.0) * 127.5)


@dataclasses.dataclass(frozen=True)
class Unit:
    """Grey levels 0..255 as [0, 1].

    Attributes:
        flip: mirror half of the training images from left to right.
    """

    flip: bool = False

    def train(self, x: Images, key: PRNGKey) -> Pixels:
        """Scaled, and mirrored at random if so asked."""
        return self.evaluate(_maybe_flip(x, key, self.flip), key)

    def evaluate(self, x: Images, key: PRNGKey) -> Pixels:
        """Scaled; the key is not used."""
        return x.astype(jnp.float32) / 255.0

    def restore(self, x: Restored) -> Restored:
        """The nearest grey level."""
        return _to_uint8(x * 255.0)


@dataclasses.dataclass(frozen=True)
class Binarized:
    """Every pixel 0 or 1, drawn anew each time with probability (grey level / 255) of being 1: dynamic binarisation.

    The protocol of Burda et al. 2016 (arXiv:1509.00519, section 5). Salakhutdinov and Murray 2008 drew once and for
    all: numbers on that static set are some 2 nats worse on MNIST and do not compare with these.

    Attributes:
        flip: mirror half of the training images from left to right.
    """

    flip: bool = False

    def train(self, x: Images, key: PRNGKey) -> Pixels:
        """Drawn, and mirrored at random if so asked."""
        flip_key, draw_key = jax.random.split(key)
        return self.evaluate(_maybe_flip(x, flip_key, self.flip), draw_key)

    def evaluate(self, x: Images, key: PRNGKey) -> Pixels:
        """Drawn."""
        return jax.random.bernoulli(key, x.astype(jnp.float32) / 255.0).astype(jnp.float32)

    def restore(self, x: Restored) -> Restored:
        """Probabilities in [0, 1], or drawn pixels, as grey levels."""
        return _to_uint8(x * 255.0)


@dataclasses.dataclass(frozen=True)
class Dequantized:
    """Grey levels x as (x + u) / 256 with u uniform in [0, 1): continuous values in [0, 1).

    A density p on them bounds the probability P of the grey levels from below: log P(x) >= E log p((x + u) / 256)
    - D log 256, with D pixels times channels (Theis et al. 2016, arXiv:1511.01844, section 3.1).

    Attributes:
        flip: mirror half of the training images from left to right.
    """

    flip: bool = False

    def train(self, x: Images, key: PRNGKey) -> Pixels:
        """Noise added, and mirrored at random if so asked."""
        flip_key, noise_key = jax.random.split(key)
        return self.evaluate(_maybe_flip(x, flip_key, self.flip), noise_key)

    def evaluate(self, x: Images, key: PRNGKey) -> Pixels:
        """Noise added: the bound needs it on held-out examples too."""
        # Sixteen bits of noise, because 255 + u with u close to 1 would round to 256 in float32, which belongs to no
        # grey level, and whose logit is infinite. With sixteen the sum is exact.
        noise = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.float32) / 65536.0
        return (x.astype(jnp.float32) + noise) / 256.0

    def restore(self, x: Restored) -> Restored:
        """The grey level whose bin x lies in. The bin of level v is [v, v + 1) / 256, so here down is nearest."""
        return _to_uint8(x * 256.0 - 0.5)


@dataclasses.dataclass(frozen=True)
class Scaled:
    """Points, or other real numbers, divided by a scale, so that networks see numbers of order 1.

    Attributes:
        scale: a positive number, in the unit of the data.
    """

    scale: float

    def train(self, x: Numbers, key: PRNGKey) -> Numbers:
        """The numbers in units of the scale; the key is not used."""
        return x / self.scale

    def evaluate(self, x: Numbers, key: PRNGKey) -> Numbers:
        """The numbers in units of the scale; the key is not used."""
        return x / self.scale

    def restore(self, x: Restored) -> Restored:
        """The numbers in their own unit."""
        return x * self.scale


@dataclasses.dataclass(frozen=True)
class Identity:
    """Examples as they are: points, rows of a table, series, words."""

    def train(self, x: Anything, key: PRNGKey) -> Anything:
        """The examples; the key is not used."""
        return x

    def evaluate(self, x: Anything, key: PRNGKey) -> Anything:
        """The examples; the key is not used."""
        return x

    def restore(self, x: Restored) -> Restored:
        """The examples."""
        return x


def _maybe_flip(x: Images, key: PRNGKey, flip: bool) -> Images:
    """Each image mirrored from left to right with probability one half, if `flip`."""
    if not flip:
        return x
    mirrored = jax.random.bernoulli(key, shape=(x.shape[0], 1, 1, 1))
    return jnp.where(mirrored, x[:, :, ::-1], x)


def _to_uint8(x: Restored) -> Restored:
    """Rounded half up and clipped. Half up, not half to even, so that a bin's lower edge belongs to the bin."""
    xp = jnp if isinstance(x, jax.Array) else np
    return xp.clip(xp.floor(x + 0.5), 0.0, 255.0).astype(xp.uint8)
