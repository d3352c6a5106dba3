"""Where batches come from: data sets by name, the order of their examples, and what is done to them on the way."""

from gen_jax.data.arrays import from_arrays
from gen_jax.data.batches import BatchSource, Resident, Streamed, evaluation_batches
from gen_jax.data.dataset import Dataset, Mixture, Split, Streams
from gen_jax.data.field import Field
from gen_jax.data.load import load_dataset
from gen_jax.data.shuffle import batch_indices, permuted
from gen_jax.data.sources import open_source
from gen_jax.data.transforms import Binarized, Dequantized, Identity, Scaled, Signed, Transform, Unit

__all__ = [
    "BatchSource",
    "Binarized",
    "Dataset",
    "Dequantized",
    "Field",
    "Identity",
    "Mixture",
    "Resident",
    "Scaled",
    "Signed",
    "Split",
    "Streamed",
    "Streams",
    "Transform",
    "Unit",
    "batch_indices",
    "evaluation_batches",
    "from_arrays",
    "load_dataset",
    "open_source",
    "permuted",
]
