"""The networks of a method, by the names that gen_jax gives them."""

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.speed.torch_networks.conv_vae import ConvDecoder, ConvEncoder
from benchmarks.speed.torch_networks.dcgan import DCGANDiscriminator, DCGANGenerator
from benchmarks.speed.torch_networks.mlp_vae import MLPDecoder, MLPEncoder
from benchmarks.speed.torch_networks.resnet_gan import ResNetCritic, ResNetGenerator
from benchmarks.speed.torch_networks.unet import UNet
from benchmarks.speed.workloads import DCGAN, DDPM, VAE, WGANGP

Networks = dict[str, nn.Module]


def vae_networks(method: VAE, shape: tuple[int, int, int]) -> Networks:
    """Encoder and decoder."""
    if method.network == "conv":
        return {
            "encoder": ConvEncoder(shape, method.latent, method.width),
            "decoder": ConvDecoder(shape, method.latent, method.width),
        }
    return {
        "encoder": MLPEncoder(shape, method.latent, method.features),
        "decoder": MLPDecoder(shape, method.latent, method.features[::-1]),
    }


def dcgan_networks(method: DCGAN, shape: tuple[int, int, int]) -> Networks:
    """Generator and discriminator."""
    return {
        "generator": DCGANGenerator(shape, method.latent, method.width),
        "discriminator": DCGANDiscriminator(shape, method.width),
    }


def wgan_gp_networks(method: WGANGP, shape: tuple[int, int, int]) -> Networks:
    """Generator and critic, which gen_jax calls discriminator too."""
    return {
        "generator": ResNetGenerator(shape, method.latent, method.width),
        "discriminator": ResNetCritic(shape, method.width),
    }


def ddpm_networks(method: DDPM, shape: tuple[int, int, int]) -> Networks:
    """The U-Net."""
    unet = UNet(shape, method.channels, method.multipliers, method.blocks, method.attention, method.dropout)
    return {"network": unet}


NETWORKS: dict[type, Callable[[Any, tuple[int, int, int]], Networks]] = {
    VAE: vae_networks,
    DCGAN: dcgan_networks,
    WGANGP: wgan_gp_networks,
    DDPM: ddpm_networks,
}
