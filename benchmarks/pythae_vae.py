"""gen_jax's VAE against pythae's trainer, on pythae's own network and the same images: examples per second.

    pip install pythae            # in an environment of its own, with PyTorch
    python benchmarks/pythae_vae.py --data-dir DIR --pythae /path/to/that/environment/bin/python

The network is pythae's default for MNIST: one hidden layer of 512 units on either side. Both train end to end, data
loading included, for the same number of epochs with Adam at 1e-3 and the same batch size; what is timed is training,
without imports and compilation on either side. They alternate; the ratio of each pair is printed.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

PYTHAE = """
import json, logging, sys, time
import numpy as np, torch
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig

logging.disable(logging.CRITICAL)
images, directory, epochs, batch, latent = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
from pythae.data.datasets import BaseDataset
x = torch.tensor(np.load(images).transpose(0, 3, 1, 2) / 255.0, dtype=torch.float32)
data = BaseDataset(x, torch.zeros(len(x)))
model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=latent, reconstruction_loss="bce"))
config = BaseTrainerConfig(output_dir=directory, learning_rate=1e-3, per_device_train_batch_size=batch,
                           num_epochs=epochs, optimizer_cls="Adam", no_cuda=True)
trainer = BaseTrainer(model, data, training_config=config)
begun = time.perf_counter()
trainer.train()
seconds = time.perf_counter() - begun
print("RESULT", json.dumps({"rate": epochs * len(x) / seconds,
                            "parameters": sum(p.numel() for p in model.parameters())}))
"""


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    data_dir: str
    """Where TFDS's mnist is prepared."""
    pythae: str
    """The Python of an environment that has pythae."""
    epochs: int = 3
    """Passes over the 60,000 images in each run."""
    batch_size: int = 100
    """Examples in a batch."""
    latent: int = 20
    """Dimensions of z."""
    pairs: int = 3
    """Pairs of runs."""


def gen_jax_rate(options: Options, directory: str) -> tuple[float, int]:
    """Examples per second of `python -m experiments.vae`, and the number of its parameters."""
    steps = options.epochs * 60_000 // options.batch_size
    command = [sys.executable, "-m", "experiments.vae", "--data", "mnist", "--data-dir", options.data_dir]
    command += ["--features", "512", "--latent", str(options.latent), "--batch-size", str(options.batch_size)]
    command += ["--average-decay", "0", "--steps", str(steps), "--log-every", str(steps - 1), "--save-every", "0"]
    done = subprocess.run([*command, "--run-dir", directory], capture_output=True, text=True, check=True)
    rate = re.search(rf"step {steps - 1}/.* ([\d,]+) examples/s", done.stdout)
    counts = re.findall(r"(?:encoder|decoder) ([\d,]+)", done.stdout)
    assert rate is not None, done.stdout
    return float(rate.group(1).replace(",", "")), sum(int(count.replace(",", "")) for count in counts)


def pythae_rate(options: Options, images: Path, directory: str) -> tuple[float, int]:
    """Examples per second of pythae's trainer, and the number of its parameters."""
    command = [options.pythae, "-c", PYTHAE, str(images), directory]
    command += [str(options.epochs), str(options.batch_size), str(options.latent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.split("RESULT")[1])
    return result["rate"], result["parameters"]


def main(options: Options) -> None:
    from gen_jax.data import load_dataset

    arrays = load_dataset("mnist", data_dir=options.data_dir).train.arrays
    assert arrays is not None
    ratios = []
    with tempfile.TemporaryDirectory() as directory:
        images = Path(directory, "images.npy")
        np.save(images, arrays["x"])
        for pair in range(options.pairs):
            ours, our_size = gen_jax_rate(options, f"{directory}/gen_jax{pair}")
            theirs, their_size = pythae_rate(options, images, f"{directory}/pythae{pair}")
            ratios.append(ours / theirs)
            print(
                f"gen_jax {ours:,.0f} examples/s ({our_size:,} parameters), "
                f"pythae {theirs:,.0f} examples/s ({their_size:,} parameters), ratio {ratios[-1]:.2f}"
            )
    print(f"median ratio {statistics.median(ratios):.2f} over {options.pairs} pairs of {options.epochs} epochs")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
