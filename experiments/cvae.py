"""Conditional VAE (Sohn, Lee & Yan, NeurIPS 2015).

    python -m experiments.cvae
    python -m experiments.cvae --data mnist --data-dir DIR
    python -m gen_jax sample runs/cvae-digits --label 3
    python -m gen_jax evaluate runs/cvae-digits --metrics agreement

Learning Structured Output Representation using Deep Conditional Generative Models. The paper has a network for the
prior of z given y; here it is N(0, I) for every y, as in the model M2 of Kingma et al., arXiv 1406.5298. Expect a grid
with a row for each class.
"""

from dataclasses import dataclass

from experiments.vae import VAEConfig
from experiments.vae import build as build_vae
from gen_jax import main
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.methods.checks import require_labels
from gen_jax.training.game import Game


@dataclass(frozen=True)
class CVAEConfig(VAEConfig):
    """Options of the conditional VAE, those of the VAE."""

    # The class is told, so that the latent need say no more than the style: with 32 dimensions it says the class again.
    latent: int = 8


def build(config: CVAEConfig, data: DataInfo) -> Game:
    """The game of a VAE that is told the class, and attributes if there are any. Raises ConfigError without labels."""
    require_labels(data)
    told = {name: field for name, field in data.fields.items() if field.kind in ("label", "attributes")}
    return build_vae(config, data, conditions=told)


# The paper's generative network for MNIST quadrants has two layers of 1,000 units and 200 latents (section 5.1).
PAPER = {"data": "mnist", "steps": 100_000, "batch_size": 100, "features": (1000, 1000), "latent": 200}
TINY = {"steps": 20, "batch_size": 32, "features": (16,), "latent": 4}

EXPERIMENT = Experiment(build, CVAEConfig, family="likelihood", minutes=3, tiny=TINY, paper=PAPER)

if __name__ == "__main__":
    main(EXPERIMENT)
