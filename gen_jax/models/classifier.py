"""A small convolutional classifier of small images, whose last hidden layer serves as features."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class ConvClassifier(nn.Module):
    """Three 3x3 convolutions, of which two halve the image, then one hidden layer: the features.

    Attributes:
      classes: how many.
      width: channels of the first convolution; the others have twice as many.
      features: units of the hidden layer.
      dtype: dtype of the computation; parameters and outputs are float32.
    """

    classes: int
    width: int = 32
    features: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> tuple[Float[Array, "batch features"], Float[Array, "batch classes"]]:
        """Map images to features, which are not negative, and logits."""
        x = nn.relu(nn.Conv(self.width, (3, 3), strides=2, dtype=self.dtype)(x))
        x = nn.relu(nn.Conv(2 * self.width, (3, 3), dtype=self.dtype)(x))
        x = nn.relu(nn.Conv(2 * self.width, (3, 3), strides=2, dtype=self.dtype)(x))
        features = nn.relu(nn.Dense(self.features, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
        logits = nn.Dense(self.classes, dtype=self.dtype)(features)
        return features.astype(jnp.float32), logits.astype(jnp.float32)
