"""A feature network for data that Inception was not made for: a classifier of the data set's own labels.

It is trained once, by the same step as everything else, and kept in the user's cache directory with its accuracy.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from gen_jax.data.batches import evaluation_batches
from gen_jax.data.cache import cached
from gen_jax.data.dataset import Dataset
from gen_jax.data.sources import open_source
from gen_jax.data.transforms import Signed
from gen_jax.errors import ConfigError
from gen_jax.losses.classification import cross_entropy
from gen_jax.metrics.content import split_digest
from gen_jax.metrics.feature_network import FeatureExtractor, FeatureNetwork
from gen_jax.metrics.moments import Moments
from gen_jax.models.classifier import ConvClassifier
from gen_jax.training.fingerprint import digest
from gen_jax.training.game import Array, Aux, Batch, Game, Now, Params, Player, Turn, Variables
from gen_jax.training.program import Program
from gen_jax.training.sharding import replicated, split_batch
from gen_jax.training.state import init_state, leaves_by_name

# Part of the cache's file names: raise it when the recipe changes.
VERSION = 2
BATCH = 128
LEARNING_RATE = 1e-3
# Two passes over the training set, but no fewer updates than a small set needs and no more than a laptop bears.
EPOCHS, LEAST_STEPS, MOST_STEPS = 2, 600, 3000


def classifier_network(
    dataset: Dataset, mesh: Mesh, *, seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> FeatureNetwork:
    """The classifier of a data set of labelled images, trained now if it never was.

    Args:
      dataset: images with labels.
      mesh: the devices.
      seed: of the training. Another one gives another judge.
      say: is told before something takes long.

    Raises:
      ConfigError: there are no labels to learn, or no images.
    """
    if dataset.kind != "image" or not dataset.class_names:
        what = "points" if dataset.kind != "image" else "no labels"
        raise ConfigError(f"{dataset.name} has {what}; a classifier for its features needs labelled images")
    module = ConvClassifier(len(dataset.class_names))
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *dataset.shape)))["params"]

    def make() -> dict[str, np.ndarray]:
        say(f"training a classifier of {dataset.name} for its features, once")
        trained = train(module, dataset, mesh, seed)
        arrays = {name: np.asarray(leaf) for name, leaf in leaves_by_name(trained).items()}
        accuracy, scale = judged(as_network("", trained, 1.0, module), dataset, mesh)
        return {**arrays, "accuracy": np.array(accuracy), "scale": np.array(scale)}

    content = split_digest(dataset, dataset.train)
    stored = cached(f"classifier-{content}-{split_digest(dataset, dataset.test)}-seed{seed}-v{VERSION}", make)
    names = list(leaves_by_name(params))
    variables = jax.tree.unflatten(jax.tree.structure(params), [jnp.asarray(stored[name]) for name in names])
    name, scale, accuracy = f"{short_name(dataset)} classifier", float(stored["scale"]), float(stored["accuracy"])
    return as_network(name, variables, scale, module, accuracy)


def short_name(dataset: Dataset) -> str:
    """The data set's name without the path of a folder or a file."""
    is_path = dataset.name.startswith(("folder:", "npz:"))
    return dataset.name.rstrip("/").rsplit("/", 1)[-1] if is_path else dataset.name


def as_network(
    name: str, params: Any, scale: float, module: ConvClassifier, accuracy: float | None = None
) -> FeatureNetwork:
    """A classifier as a feature network, whose features are multiplied by `scale`."""

    def apply(params: Any, images: Array) -> tuple[Array, Array]:
        features, logits = classify(module, params, Signed().evaluate(images, jax.random.key(0)))
        return scale * features, jax.nn.softmax(logits)

    told_apart = digest({"params": params, "scale": jnp.float32(scale)})[:16]
    return FeatureNetwork(name, told_apart, module.features, apply, params, accuracy)


def classify(module: ConvClassifier, params: Any, x: Array) -> tuple[Array, Array]:
    """Features and logits of images in [-1, 1]."""
    outputs: Any = module.apply({"params": params}, x)
    return outputs


def game(module: ConvClassifier, steps: int) -> Game:
    """Classification as a game of one player."""

    optimizer = optax.adam(optax.linear_schedule(LEARNING_RATE, 0.0, steps))

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, now: Now) -> tuple[Array, Aux]:
        return cross_entropy(classify(module, params["classifier"], batch["x"])[1], batch["label"]), Aux()

    return Game(
        init=lambda key, example: {"classifier": dict(module.init(key, example["x"]))},
        players={"classifier": Player(("classifier",), loss, optimizer)},
        turns=(Turn(("classifier",)),),
        transforms={"x": Signed()},
    )


def train(module: ConvClassifier, dataset: Dataset, mesh: Mesh, seed: int) -> Any:
    """The parameters after training, whole on every device."""
    batch_size = min(BATCH, dataset.train.size) // mesh.size * mesh.size
    if not batch_size:
        raise ConfigError(f"{dataset.name} has {dataset.train.size} images; a classifier needs at least {mesh.size}")
    steps = min(max(EPOCHS * dataset.train.size // batch_size, LEAST_STEPS), MOST_STEPS)
    classification = game(module, steps)
    source = open_source(
        dataset.train,
        batch_size=batch_size,
        seed=seed,
        draws=1,
        sharding=replicated(mesh),
        stream_sharding=split_batch(mesh, axis=1),
    )
    make = functools.partial(init_state, classification, example={"x": jnp.zeros((1, *dataset.shape))})
    state = jax.jit(make, out_shardings=replicated(mesh))(jax.random.key(seed))
    program = Program(classification, source, mesh, seed)
    step = 0
    try:
        while step < steps:
            state, step, _ = program.advance(state, step, steps - step)
    finally:
        source.close()
    return state.params["classifier"]


def judged(network: FeatureNetwork, dataset: Dataset, mesh: Mesh) -> tuple[float, float]:
    """The share of held-out images that are classified rightly, and what gives their features a mean variance of 1.

    How large the features of a ReLU network are is an accident of its training; distances between them should not be.
    """
    extractor = FeatureExtractor(network, mesh)
    moments, right = Moments(network.dimension), 0
    for batch in evaluation_batches(dataset.test, extractor.batch_size):
        seen, mask = extractor(batch["x"]), batch["mask"]
        moments.add(seen.features[mask])
        right += int(((seen.probabilities.argmax(axis=1) == batch["label"]) & mask).sum())
    return right / dataset.test.size, float(1 / np.sqrt(np.trace(moments.covariance) / network.dimension))
