"""What is timed: each workload once, in numbers alone, so that both sides read the same ones.

Neither JAX nor PyTorch is imported here, nor by whoever only wants to know what there is.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gen_jax.errors import ConfigError, nearest


@dataclass(frozen=True)
class VAE:
    """A variational autoencoder on binarised pixels; fields are those of `experiments.vae`."""

    experiment: ClassVar[str] = "vae"
    preset: ClassVar[str] = "default"

    network: str = "mlp"
    features: tuple[int, ...] = (512,)
    width: int = 32
    latent: int = 20
    learning_rate: float = 1e-3
    average_decay: float = 0.999


@dataclass(frozen=True)
class DCGAN:
    """A convolutional GAN; fields are those of `experiments.dcgan`."""

    experiment: ClassVar[str] = "dcgan"
    preset: ClassVar[str] = "default"

    latent: int = 100
    width: int = 64
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)


@dataclass(frozen=True)
class WGANGP:
    """A residual Wasserstein GAN with gradient penalty; fields are those of `experiments.wgan_gp`."""

    experiment: ClassVar[str] = "wgan_gp"
    preset: ClassVar[str] = "images"

    latent: int = 128
    width: int = 64
    critic_steps: int = 5
    penalty: float = 10.0
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)


@dataclass(frozen=True)
class DDPM:
    """A denoising diffusion; fields are those of `experiments.ddpm`."""

    experiment: ClassVar[str] = "ddpm"
    preset: ClassVar[str] = "default"

    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 1
    attention: tuple[int, ...] = (8,)
    dropout: float = 0.0
    flip: bool = False
    learning_rate: float = 1e-3
    warmup: int = 500
    clip_gradients: float = 1.0
    average_decay: float = 0.999
    diffusion_steps: int = 1000
    schedule: str = "linear"
    sampling_steps: int = 0
    sampler: str = "ancestral"


Method = VAE | DCGAN | WGANGP | DDPM
METHODS: dict[str, type[Method]] = {kind.experiment: kind for kind in (VAE, DCGAN, WGANGP, DDPM)}


@dataclass(frozen=True)
class Workload:
    """One job that both sides do.

    Attributes:
      name: as it is asked for.
      title: as it is shown.
      method: what is trained, or sampled.
      shape: of an image, (height, width, channels).
      batch_size: images of a batch, or samples drawn at once.
      samples: whether a step is a whole batch of samples, and not one of training.
      images: size of the data set.
    """

    name: str
    title: str
    method: Method
    shape: tuple[int, int, int]
    batch_size: int
    samples: bool = False
    images: int = 10_000

    @property
    def examples(self) -> int:
        """Images that one step takes from the data, or makes."""
        return self.batch_size * getattr(self.method, "critic_steps", 1)

    @property
    def is_convolutional(self) -> bool:
        """Whether the order in which channels are stored can matter."""
        return getattr(self.method, "network", "conv") == "conv"

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {**dataclasses.asdict(self), "experiment": self.method.experiment}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Workload":
        """The workload that `as_json` told; JSON made lists of its tuples."""
        fields = {name: _tuples(value) for name, value in stored.items() if name != "experiment"}
        method = {name: _tuples(value) for name, value in fields["method"].items()}
        return cls(**{**fields, "method": METHODS[stored["experiment"]](**method)})


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


SMALL = DDPM()
# As published for CIFAR-10 (arXiv 2006.11239, appendix B): 35.7 million parameters.
LARGE = DDPM(
    channels=128,
    multipliers=(1, 2, 2, 2),
    blocks=2,
    attention=(16,),
    dropout=0.1,
    flip=True,
    learning_rate=2e-4,
    warmup=5_000,
    average_decay=0.9999,
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("vae_mlp", "VAE, MLP, 28x28x1, batch 100", VAE(), (28, 28, 1), 100),
        Workload("vae_conv", "VAE, convolutional, 32x32x1, batch 128", VAE("conv", latent=32), (32, 32, 1), 128),
        Workload("dcgan", "DCGAN, 32x32x1, batch 64", DCGAN(), (32, 32, 1), 64),
        Workload("wgan_gp", "WGAN-GP ResNet, 32x32x1, 5 critic steps of 64", WGANGP(), (32, 32, 1), 64),
        Workload("ddpm_small", "DDPM, small U-Net, 32x32x1, batch 64", SMALL, (32, 32, 1), 64),
        Workload("ddpm_large", "DDPM, published U-Net, 32x32x3, batch 8", LARGE, (32, 32, 3), 8),
        Workload(
            "ddpm_sampling",
            "DDPM sampling, 100 steps, small U-Net, 16 images",
            dataclasses.replace(SMALL, sampling_steps=100),
            (32, 32, 1),
            16,
            samples=True,
        ),
        Workload(
            "ddim_sampling",
            "DDIM sampling, 50 steps, small U-Net, 16 images",
            dataclasses.replace(SMALL, sampling_steps=50, sampler="ddim"),
            (32, 32, 1),
            16,
            samples=True,
        ),
    )
}


def chosen(names: str, known: Mapping[str, Any] | tuple[str, ...]) -> list[str]:
    """The names in a list with commas between, or all that are known where the list is empty.

    Raises:
      ConfigError: one that is not known.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"--workloads has {name!r}{nearest(name, known)}; accepted: {', '.join(known)}")
    return list(dict.fromkeys(wanted)) or list(known)
