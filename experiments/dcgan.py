"""DCGAN (Radford et al., 2015, arXiv 1511.06434).

    python -m experiments.dcgan
    python -m experiments.dcgan --data fashion_mnist --data-dir DIR --image-size 32
    python -m experiments.dcgan --preset paper --data celeb_a --data-dir DIR

Expect from the defaults a grid of digits within a minute on two CPU cores, half of them clean: at 8x8 the
discriminator is a single convolution deep. On CIFAR-10, 50,000 samples against the training set, StudioGAN reports an
FID of 48.3 for its best checkpoint, and mimicry 29.0; the paper reports none.
"""

from dataclasses import dataclass

from gen_jax import main
from gen_jax.config import Betas, Count
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.losses import AdversarialLoss, non_saturating
from gen_jax.methods import Average, Flip, Optimizer, gan
from gen_jax.methods.checks import require_size
from gen_jax.models import DCGANDiscriminator, DCGANGenerator, dcgan
from gen_jax.training.game import Game


@dataclass(frozen=True)
class DCGANConfig(Optimizer, Average, Flip):
    """Options of the DCGAN."""

    steps: int = 5_000
    batch_size: int = 64
    learning_rate: float = 2e-4
    betas: Betas = (0.5, 0.999)
    latent: Count = 100
    """Dimensions of z."""
    width: Count = 64
    """Channels at half the image's size, in both networks; they double as the size halves."""


def build(config: DCGANConfig, data: DataInfo, *, loss: AdversarialLoss = non_saturating) -> Game:
    """The game of a DCGAN on such data. Raises ConfigError for images of a size that it cannot make."""
    return gan(
        DCGANGenerator(require_size(data, dcgan.supports, dcgan.nearest_size), config.width, config.dtype),
        DCGANDiscriminator(config.width, config.dtype),
        loss,
        latent=config.latent,
        generator_optimizer=config.transformation(),
        discriminator_optimizer=config.transformation(),
        transform=config.transform(data),
        average_decay=config.average_decay,
    )


EXPERIMENT = Experiment(
    build,
    DCGANConfig,
    family="adversarial",
    minutes=1,
    tiny={"learning_rate": 1e-3, "width": 4, "latent": 4},
    paper={"data": "celeb_a", "image_size": 64, "steps": 100_000, "batch_size": 128, "width": 128, "flip": True},
)

if __name__ == "__main__":
    main(EXPERIMENT)
