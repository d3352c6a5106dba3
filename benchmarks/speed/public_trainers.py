"""Public trainers against the experiments' own commands: the same job from the shell to the end, in turn.

What is timed of training excludes imports and compilation on both sides; what is timed of the command excludes nothing.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.speed.measuring import Pairs, WorkerFailed
from benchmarks.speed.results import PublicJob

LATENT = 20
SIZE = 32


@dataclass(frozen=True)
class Finished:
    """What one command did.

    Attributes:
      training: seconds that as many examples as there were would take at the rate of the training.
      command: seconds from the start of Python to its end.
      examples: that were learned from.
      parameters: of all networks.
    """

    training: float
    command: float
    examples: int
    parameters: int


@dataclass(frozen=True)
class Size:
    """How much work the jobs are.

    Attributes:
      epochs: of pythae's job.
      steps: of the diffusion's.
      images: of either, where they are random.
    """

    epochs: int = 3
    steps: int = 20
    images: int = 10_000


@dataclass(frozen=True)
class Place:
    """Where a job finds and puts things.

    Attributes:
      directory: for everything that it writes.
      device: "cpu" or "gpu".
      data_dir: where TFDS data sets are prepared; None for random images.
    """

    directory: Path
    device: str
    data_dir: str | None


def timed(command: Sequence[str], environment: Mapping[str, str]) -> tuple[str, float]:
    """What a command printed, and how long it took.

    Raises:
      WorkerFailed: it failed; with the last line of what it said.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, env={**os.environ, **environment}
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise WorkerFailed(f"{command[0]} ended with code {done.returncode}: {said[-1] if said else 'it said nothing'}")
    return done.stdout, seconds


def of_gen_jax(command: Sequence[str], steps: int, batch_size: int, place: Place, number: int) -> Finished:
    """Trains an experiment from the shell, with what is not training switched off."""
    run = place.directory / f"run-{number}"
    quiet = ["--steps", str(steps), "--batch-size", str(batch_size), "--log-every", str(steps - 1)]
    quiet += ["--eval-every", "0", "--save-every", "0", "--no-report", "--grid-samples", "1", "--run-dir", str(run)]
    said, seconds = timed([*command, *quiet], environment(place))
    return read_gen_jax(said, seconds, steps, batch_size)


def read_gen_jax(said: str, seconds: float, steps: int, batch_size: int) -> Finished:
    """What an experiment printed: the rate is that of all steps between the first and the last."""
    rate = re.search(rf"^step {steps - 1}/.* ([\d,]+) examples/s", said, re.MULTILINE)
    nets = re.search(r"^nets +(.*) parameters$", said, re.MULTILINE)
    if rate is None or nets is None:
        raise WorkerFailed(f"the experiment printed no rate: {said.strip()[-200:]}")
    parameters = sum(int(count.replace(",", "")) for count in re.findall(r" ([\d,]*\d)(?:,|$)", " " + nets[1]))
    examples = steps * batch_size
    return Finished(examples / float(rate[1].replace(",", "")), seconds, examples, parameters)


def of_public(command: Sequence[str], place: Place) -> Finished:
    """Runs a public trainer's script."""
    said, seconds = timed(command, environment(place))
    found = json.loads(said.rpartition("RESULT")[2])
    return Finished(found["seconds"], seconds, found["examples"], found["parameters"])


def environment(place: Place) -> dict[str, str]:
    """Caches that begin empty; on a CPU nothing else is seen."""
    found = {"GEN_JAX_CACHE": str(place.directory / "cache")}
    return {**found, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""} if place.device == "cpu" else found


def write_images(images: np.ndarray, folder: Path) -> None:
    """A PNG each."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(folder / f"{number:06}.png")


def random_images(count: int, side: int) -> np.ndarray:
    """uint8 (count, side, side, 1)."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 1), np.uint8)


def loaded_images(name: str, data_dir: str, side: int | None) -> np.ndarray:
    """A TFDS data set's training images."""
    from gen_jax.data import load_dataset

    arrays = load_dataset(name, data_dir=data_dir, image_size=side).train.arrays
    assert arrays is not None
    return arrays["x"]


def pythae(size: Size, pairs: int, place: Place) -> PublicJob:
    """pythae's trainer and `python -m experiments.vae`: MNIST where it is prepared, or random images of its size."""
    batch_size = 100
    if place.data_dir is None:
        images, data = random_images(size.images, 28), f"folder:{place.directory / 'images'}"
        write_images(images, place.directory / "images")
        ours = ["experiments.vae", "--data", data]
    else:
        images = loaded_images("mnist", place.data_dir, None)
        ours = ["experiments.vae", "--data", "mnist", "--data-dir", place.data_dir]
    ours += ["--features", "512", "--latent", str(LATENT), "--average-decay", "0"]
    stored = place.directory / "images.npy"
    np.save(stored, images)
    steps = size.epochs * len(images) // batch_size
    theirs = ["benchmarks.speed.public.pythae_vae", str(stored)]
    numbers = [str(number) for number in (size.epochs, batch_size, LATENT)]
    return in_turn(
        "pythae",
        f"VAE, MLP, 28x28x1, batch {batch_size}, {size.epochs} epochs of {len(images):,} images",
        lambda n: of_gen_jax(ours, steps, batch_size, place, n),
        lambda n: of_public([*theirs, str(place.directory / f"pythae-{n}"), *numbers, place.device], place),
        pairs,
    )


def denoising_diffusion(size: Size, pairs: int, place: Place) -> PublicJob:
    """denoising-diffusion-pytorch's trainer and `python -m experiments.ddpm` on one folder of PNG files."""
    batch_size, folder = 64, place.directory / "images"
    if place.data_dir is None:
        images = random_images(size.images, SIZE)
    else:
        images = loaded_images("fashion_mnist", place.data_dir, SIZE)[: size.images]
    write_images(images, folder)
    ours = ["experiments.ddpm", "--data", f"folder:{folder}", "--channels", "32", "--multipliers", "1", "2", "4"]
    ours += ["--blocks", "1", "--attention", "8", "--diffusion-steps", "1000", "--schedule", "linear", "--warmup", "0"]
    # The grid at the end is no training.
    ours += ["--average-decay", "0.995", "--sampling-steps", "2"]
    theirs = ["benchmarks.speed.public.denoising_diffusion", str(folder)]
    numbers = [str(number) for number in (size.steps, batch_size, SIZE, 1)]
    return in_turn(
        "denoising_diffusion_pytorch",
        f"DDPM, U-Net, {SIZE}x{SIZE}x1, batch {batch_size}, {size.steps} steps, {len(images):,} PNG files",
        lambda n: of_gen_jax(ours, size.steps, batch_size, place, n),
        lambda n: of_public([*theirs, str(place.directory / f"theirs-{n}"), *numbers], place),
        pairs,
    )


JOBS: dict[str, Callable[[Size, int, Place], PublicJob]] = {
    "pythae": pythae,
    "denoising_diffusion_pytorch": denoising_diffusion,
}


def in_turn(
    name: str, title: str, ours: Callable[[int], Finished], theirs: Callable[[int], Finished], pairs: int
) -> PublicJob:
    """Runs both, one after the other, as often as asked for.

    Args:
      name: of the job.
      title: of the job.
      ours: the number of the pair -> what gen_jax's command did.
      theirs: the same of the public trainer.
      pairs: how many.
    """
    found = [(ours(number), theirs(number)) for number in range(pairs)]
    one, other = found[0]
    return PublicJob(
        name,
        title,
        one.examples,
        one.parameters,
        other.parameters,
        Pairs(
            [a.training / a.examples for a, _ in found],
            [b.training / b.examples for _, b in found],
        ),
        Pairs([a.command for a, _ in found], [b.command for _, b in found]),
    )
