"""Feature networks whose answers are known."""

import jax.numpy as jnp

from gen_jax.metrics.feature_network import FeatureNetwork


def first_pixels(dimension, name="pixels classifier", batch_size=16):
    """Features are the first pixels, 0 to 255; the second of two classes is as probable as the first one is bright."""

    def apply(variables, images):
        flat = images.reshape(images.shape[0], -1).astype(jnp.float32)
        bright = flat[:, 0] / 255
        return flat[:, :dimension], jnp.stack([1 - bright, bright], axis=1)

    return FeatureNetwork(name, "0123456789abcdef", dimension, apply, {"unused": jnp.zeros(1)}, batch_size=batch_size)
