"""The network of a diffusion of images."""

from dataclasses import dataclass

from gen_jax.config import Config, Count, Decay, Widths
from gen_jax.data.info import DataInfo
from gen_jax.methods.checks import require_size
from gen_jax.models import UNet, unet


@dataclass(frozen=True)
class Denoiser(Config):
    """Options of a U-Net that sees noisy images and the time."""

    channels: Count = 16
    """Channels of the U-Net at full resolution."""
    multipliers: Widths = (1, 2)
    """Channels of each level of the U-Net as a multiple; the image is halved between levels."""
    blocks: Count = 1
    """Residual blocks a level."""
    attention: Widths = (4,)
    """Sides of the feature maps that attend to themselves."""
    dropout: Decay = 0.0
    """Share of the activations dropped in residual blocks."""

    def denoiser(self, data: DataInfo) -> UNet:
        """The network for such images. Raises ConfigError for points, and for images that it cannot halve so often."""
        levels = len(self.multipliers)
        require_size(data, lambda size: unet.supports(size, levels), lambda size: unet.nearest_size(size, levels))
        return UNet(self.channels, self.multipliers, self.blocks, self.attention, self.dropout, dtype=self.dtype)
