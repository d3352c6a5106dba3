"""Networks: Flax Linen modules, one architecture a file. Images are (batch, height, width, channels) in float32.

Parameters and outputs are float32, and `dtype` sets the dtype of the computation between. What image sizes an
architecture can make is told by `supports` and `nearest_size` in the file of each that is limited:
`conv_autoencoder`, `dcgan`, `resnet_gan` and `unet`. What a block of a convolutional network gives to the next is named
"block" (`jax.ad_checkpoint.checkpoint_name`): with `--remat` that is what is kept for the backward pass.
"""

from gen_jax.models import conv_autoencoder, dcgan, resnet_gan, unet
from gen_jax.models.conv_autoencoder import ConvDecoder, ConvEncoder
from gen_jax.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gen_jax.models.gan_mlp import MaxoutDiscriminator, MLPGenerator
from gen_jax.models.layers import Conv, ConvTranspose
from gen_jax.models.mlp import MLP
from gen_jax.models.mlp_autoencoder import MLPDecoder, MLPEncoder
from gen_jax.models.resnet_gan import ResNetCritic, ResNetGenerator
from gen_jax.models.time_embedding import TimeEmbedding, sinusoidal_embedding
from gen_jax.models.unet import UNet

__all__ = [
    "MLP",
    "Conv",
    "ConvDecoder",
    "ConvEncoder",
    "ConvTranspose",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "MLPDecoder",
    "MLPEncoder",
    "MLPGenerator",
    "MaxoutDiscriminator",
    "ResNetCritic",
    "ResNetGenerator",
    "TimeEmbedding",
    "UNet",
    "conv_autoencoder",
    "dcgan",
    "resnet_gan",
    "sinusoidal_embedding",
    "unet",
]
