"""Which feature network suits a data set."""

from collections.abc import Callable
from typing import Literal

from jax.sharding import Mesh

from gen_jax.data.dataset import Dataset
from gen_jax.errors import ConfigError, NoFeatures
from gen_jax.metrics.classifier import classifier_network
from gen_jax.metrics.feature_network import FeatureNetwork
from gen_jax.metrics.inception import SHA256, inception_network, missing, stored_at


def feature_network(
    dataset: Dataset,
    mesh: Mesh,
    wanted: Literal["auto", "inception", "classifier"] = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> FeatureNetwork:
    """Inception-v3 for colour images where its weights are there, a classifier of the labels for all others.

    Args:
      dataset: of images.
      mesh: the devices.
      wanted: "inception" or "classifier" for that one and no other.
      say: is told before something takes long.

    Raises:
      ConfigError: the data are points, have no labels where those are needed, or Inception's weights are missing.
      NoFeatures: neither will do.
    """
    if dataset.kind != "image":
        raise ConfigError(f"{dataset.name} has points; features are of images")
    labelled, grey, converted = bool(dataset.class_names), dataset.shape[-1] == 1, stored_at(SHA256).exists()
    suits = labelled and (grey or not converted)
    if wanted == "classifier" or (wanted == "auto" and suits):
        return classifier_network(dataset, mesh, say=say)
    if wanted == "auto" and not converted:
        raise NoFeatures(f"{dataset.name} has no labels to train a classifier on, and {missing()}")
    return inception_network()
