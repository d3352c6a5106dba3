"""Classifier on codes of another run (Kingma et al., 2014, arXiv 1406.5298).

    python -m experiments.classifier
    python -m experiments.vae && python -m experiments.classifier --encoder runs/vae-digits --examples 100
    python -m experiments.classifier --encoder runs/vae-digits --examples 100 --finetune

With --encoder the codes are those of a finished run, frozen, or trained on with --finetune; without it the encoder is
new. Expect from frozen codes a better accuracy than from scratch where labels are few. The encoder's run is copied into
this one. The paper's model M1, with a transductive SVM on its codes, has 11.82% error with 100 labels of MNIST.
"""

from dataclasses import dataclass
from typing import Any

import jax

from gen_jax import main
from gen_jax.config import Count, Part, Widths
from gen_jax.data import Unit
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment
from gen_jax.methods import Flip, Optimizer, classifier
from gen_jax.methods.checks import require_labels
from gen_jax.methods.nets import Nets, init
from gen_jax.models import MLP
from gen_jax.training.game import Game
from gen_jax.training.pretrained import Pretrained


@dataclass(frozen=True)
class ClassifierConfig(Optimizer, Flip):
    """Options of the classifier."""

    steps: int = 2_000
    batch_size: int = 100
    encoder: Part = None
    """Run whose encoder makes the codes, such as a VAE's (default: a new encoder)."""
    finetune: bool = False
    """Train the run's encoder on, rather than freeze it."""
    head: Widths = (256,)
    """Hidden units of each layer on top of the codes; none for a linear classifier."""
    features: Widths = (512, 512)
    """Hidden units of each layer of a new encoder."""
    latent: Count = 32
    """Dimensions of the codes of a new encoder."""

    def unused(self) -> dict[str, str]:
        """The options that do nothing beside the others."""
        if self.encoder is None:
            return super().unused() | {"finetune": "without --encoder there is nothing to train on"}
        return super().unused() | dict.fromkeys(("features", "latent"), "the codes are those of --encoder")


def build(config: ClassifierConfig, data: DataInfo, *, encoder: Pretrained | None = None) -> Game:
    """The game of a classifier of such data. ConfigError: no labels, or a run that makes no codes."""
    head = MLP(config.head, (len(require_labels(data)),), dtype=config.dtype)
    if encoder is None:
        network = MLP(config.features, (config.latent,), dtype=config.dtype)

        def encode(params: Any, variables: Any, x: jax.Array, key: jax.Array) -> jax.Array:
            return Nets({"encoder": network}, params, variables)("encoder", x)

        nets: dict[str, Any] = {"encoder": lambda key, x: init(network, key, x)}
        transform = config.transform(data, Unit)
    else:
        encoder.require("encode", "encoder", "a run with an encoder, such as of experiments.vae")
        encoder.require_shape(data, "encoder")
        if encoder.game.given:
            raise ConfigError(f"--encoder is {encoder.name}, whose codes depend on {', '.join(encoder.game.given)}")
        codec = encoder.game.codec
        assert codec is not None
        assert codec.encode is not None
        encode, nets, transform = codec.encode, encoder.nets(*codec.nets), encoder.game.transforms["x"]
    return classifier(
        head,
        encode,
        nets=nets,
        learn=encoder is None or config.finetune,
        optimizer=config.transformation(),
        transform=transform,
    )


PAPER = {"data": "mnist", "steps": 10_000, "examples": 1_000}
TINY = {"steps": 20, "batch_size": 32, "features": (16,), "latent": 4}

EXPERIMENT = Experiment(
    build, ClassifierConfig, family="representation", minutes=1, tiny=TINY, paper=PAPER, parts=("encoder",)
)

if __name__ == "__main__":
    main(EXPERIMENT)
