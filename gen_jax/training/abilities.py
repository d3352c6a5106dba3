"""What a game can do beside being trained: how it samples, what may be asked of samples, codes, probabilities, views.

Whoever looks at a game from outside (samplers, evaluators, reports, the command line) goes by these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax

from gen_jax.data.field import Field

Array = jax.Array
PyTree = Any
Params = Mapping[str, PyTree]  # {net: its trainable parameters}
Variables = Mapping[str, Mapping[str, PyTree]]  # {net: {collection: arrays}}, such as BatchNorm's running statistics
Batch = Mapping[str, Array]  # the entries of the data, "index" (batch,), and for a stream its own "index_NAME"

Observed = Literal["binary pixels", "256 levels", "dequantised", "real numbers"]
"""What x is when it is scored.

"binary pixels" and "256 levels" have probabilities. "dequantised" pixels, which are levels with uniform noise scaled to
[0, 1), and "real numbers" have densities.
"""


class Density(NamedTuple):
    """How a game gives probabilities to data.

    Attributes:
      observed: what x is when it is scored.
      log_weights: (params, variables, batch, key, k) -> (k, batch), logarithms of k unbiased estimates of p(x), whose
        mean, not that of the logarithms, approaches p(x); None where there is only the bound that `evaluate` reports.
      exact: whether each of them is p(x) itself.
    """

    observed: Observed
    log_weights: Callable[[Params, Variables, Batch, Array, int], Array] | None = None
    exact: bool = False


class Sampling(NamedTuple):
    """How a sample is made, and what it costs. All of it belongs to the protocol of a score.

    Attributes:
      sampler: its name, such as "ancestral"; "one pass" for a network that is called once.
      steps: how often a network is called for one sample.
      options: what else it depends on, by the name of the option: {"eta": 0.0}.
    """

    sampler: str = "one pass"
    steps: int = 1
    options: Mapping[str, Any] = {}


ONE_PASS = Sampling()


@dataclass(frozen=True)
class Given:
    """What may be asked of a sample.

    Attributes:
      field: what it is: a label, tokens, an image, …
      draw: (key, n) -> n of it, as stored, where nobody asks; None: somebody has to.
    """

    field: Field
    draw: Callable[[Array, int], Array] | None = None


@dataclass(frozen=True)
class Codec:
    """How a game turns examples into codes, and codes into examples. Both are in the networks' range.

    What else the game was given, such as a label, both functions take by name.

    Attributes:
      codes: what a code is.
      decode: (params, variables, codes, key, **given) -> x.
      encode: (params, variables, x, key, **given) -> codes; None where there is no way back, as in a GAN.
      draw: (key, n) -> codes as the model expects them; None where it knows no distribution of theirs.
      path: (start, end, columns) -> (rows, columns, *codes): the way from codes to codes, both ends among it.
      nets: those that encode, so that another run can begin with them.
    """

    codes: Field
    decode: Callable[..., Array]
    encode: Callable[..., Array] | None
    draw: Callable[[Array, int], Array] | None
    path: Callable[[Array, Array, int], Array]
    nets: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A picture of what a method does.

    Attributes:
      function: (params, variables, batch, key) -> (rows, columns, *shape) in the networks' range. The batch is
        transformed, from the held-out data, and has at least as many examples as rows; a view that shows no data looks
        at no more than its shape.
      title: of one or two words.
      caption: a sentence: what a row is, what a column is.
      looks_at_data: whether what it shows depends on the values of batch["x"].
    """

    function: Callable[[Params, Variables, Batch, Array], Array]
    title: str
    caption: str
    looks_at_data: bool = True

    def __call__(self, params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        """What `function` shows."""
        return self.function(params, variables, batch, key)


class Reported(NamedTuple):
    """What a number is that a method logs.

    Attributes:
      title: what it is called where a person reads it: "KL term of the ELBO".
      unit: "nats", "bits", "share", …; "" for none.
      better: which direction is better, or None where neither is by itself.
      depends_on: what has to be equal for numbers to be compared: how data are observed, of likelihoods; the
        experiment, of what means another thing in each, such as a loss; None: nothing.
    """

    title: str
    unit: str = ""
    better: Literal["larger", "smaller"] | None = None
    depends_on: Literal["observed", "experiment"] | None = None
