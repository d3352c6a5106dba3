"""Human evaluation of a run as in HYPE (Zhou et al., NeurIPS 2019, arXiv:1904.01121): the page, and scores of answers.

What differs from the paper: real images are held-out ones rather than training images; the noise that masks an image
is made of random phases rather than by Portilla and Simoncelli's texture synthesis; people are not paid, nor
qualified beforehand on other models' images, but practise on a few of this one's; one person's answers have an interval
of their own, where the paper's is a bootstrap over people, as it is here for several.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from gen_jax.errors import ConfigError
from gen_jax.loaded import Run
from gen_jax.metrics.content import split_digest
from gen_jax.metrics.hype import Staircase
from gen_jax.metrics.hype_answers import session_scores
from gen_jax.metrics.hype_session import FORMAT, read_session
from gen_jax.metrics.score import Score
from gen_jax.reports.hype_record import check_judged, record_page
from gen_jax.run.directory import RunDirectory
from gen_jax.show.page import render, write_page
from gen_jax.show.pictures import png_data_uri

IMAGES = 100  # that one person judges without a limit of time: section 2.2
BLOCK = 150  # images of a staircase, of which the paper asks three: section 2.1
PRACTICE = 4  # images, half of them real, whose answers do not count
MASKS = 15
SIDE = 320  # CSS pixels that an image may fill when it is enlarged by a whole factor

Image = UInt8[np.ndarray, "height width channels"]
Images = UInt8[np.ndarray, "images height width channels"]


def write_hype(
    run: Run,
    *,
    images: int | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    out: epath.PathLike | None = None,
) -> epath.Path:
    """Writes the page on which people tell a run's samples from held-out images, and returns where it is.

    Args:
      run: whose samples to judge.
      images: how many a person judges, half of them real; 450 make the paper's three staircases. None: 100, or as many
        as there are.
      seed: of the samples, of the choice of real images and of their order.
      data_dir: where the run's data are, if not where they were during training.
      out: the file; None: hype.html in the run directory.

    Raises:
      ConfigError: a run on points, a number of images that is odd or larger than there are held out, other data, a file
        that cannot be written.
    """
    if not run.info.is_image:
        raise ConfigError(f"{run.directory.path} was trained on points ({run.info.name}); HYPE shows people images")
    images = number_of_images(run, images)
    half = (images + PRACTICE) // 2
    generated = run.sample(half, seed)
    rng = np.random.default_rng(seed)
    dataset = run.load_data(data_dir)
    held_out = dataset.test
    real = held_out.load(rng.choice(held_out.size, half, replace=False))["x"]
    study = {
        "run": run.directory.path.resolve().name,
        "step": run.step,
        "state": run.digest(),
        "weights": "average" if run.game.averages else "last",
        "sampler": run.game.sampling.sampler,
        "sampler_steps": run.game.sampling.steps,
        "reference": {
            "data": run.info.name,
            "split": "test",
            "shape": list(run.info.shape),
            "size": held_out.size,
            "digest": split_digest(dataset, held_out),
        },
        "images": images,
        "seed": seed,
        "staircase": asdict(Staircase()),
    }
    html = render("hype.html", data=page_data(real, generated, study, rng))
    path = run.directory.path / "hype.html" if out is None else epath.Path(out)
    try:
        write_page(path, html)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    record_page(run.directory, study)
    return path


def number_of_images(run: Run, images: int | None) -> int:
    """How many images a person judges; see `write_hype`. Raises ConfigError where there are not so many."""
    held_out = run.info.held_out_size
    most = 2 * held_out - PRACTICE
    there_are = f"{run.info.name} has {held_out} held-out images, of which {PRACTICE // 2} are for practice"
    if most < 2:
        raise ConfigError(f"{there_are}; HYPE needs {PRACTICE // 2 + 1} or more")
    if images is None:
        return min(IMAGES, most)
    if images % 2 or not 2 <= images <= most:
        raise ConfigError(
            f"--images is {images}; accepted: an even number from 2 to {most}, for half are real and {there_are}"
        )
    return images


def score_answers(paths: Sequence[epath.PathLike], run: epath.PathLike | None = None) -> list[Score]:
    """The scores of files that pages saved, one or several, of one person or several; see `session_scores`.

    Args:
      paths: of the files.
      run: the run directory that they must be about. None: whichever they are about, as long as it is one.

    Raises:
      ConfigError: no file, one that is not what a page saved, one twice, or answers about different things or another
        run; the checkpoint that they are about is damaged.
    """
    sessions = [read_session(path) for path in paths]
    if run is not None:
        check_judged(RunDirectory(run), {path: session.study for path, session in zip(paths, sessions, strict=True)})
    return session_scores(sessions)


def page_data(real: Images, generated: Images, study: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """What the page knows, as JSON: images in the order in which they are shown, those for practice first.

    Names and order say nothing about which images are real. That is in `truth`, a bit for each image.

    Args:
      real: half of the images, those for practice included.
      generated: the other half.
      study: what is judged.
      rng: shuffles, each block by itself, so that half of it is real; makes the masks.
    """
    practice = PRACTICE // 2
    blocks = np.array_split(np.arange(practice, len(real)), max(1, study["images"] // BLOCK))
    shown, truth = [], []
    for pairs in (np.arange(practice), *blocks):
        order = rng.permutation(2 * len(pairs))
        shown += list(np.concatenate([real[pairs], generated[pairs]])[order])
        truth += list(order < len(pairs))
    height, width, _ = shown[0].shape
    return {
        "format": FORMAT,
        "study": study,
        "key": "hype-" + hashlib.sha256(json.dumps(study).encode()).hexdigest()[:16],
        "practice": PRACTICE,
        "blocks": [2 * len(pairs) for pairs in blocks],
        "images": [{"id": image_id(image), "uri": png_data_uri(image)} for image in shown],
        "truth": base64.b64encode(np.packbits(truth).tobytes()).decode(),
        "masks": [png_data_uri(mask(shown[index], rng)) for index in rng.integers(len(shown), size=MASKS)],
        "width": width,
        "height": height,
        "scale": max(1, SIDE // max(width, height)),
    }


def image_id(image: Image) -> str:
    """12 hexadecimal digits that depend on nothing but the pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()[:12]


def mask(image: Image, rng: np.random.Generator) -> Image:
    """Noise with the image's power spectrum, nearly, and in each channel with its very values."""
    noise = np.fft.fft2(rng.standard_normal(image.shape[:2]))[..., None]
    texture = np.fft.ifft2(np.abs(np.fft.fft2(image, axes=(0, 1))) * noise / np.abs(noise), axes=(0, 1)).real
    channels = image.shape[-1]
    ranks = texture.reshape(-1, channels).argsort(axis=0).argsort(axis=0)
    values = np.sort(image.reshape(-1, channels), axis=0)
    return np.take_along_axis(values, ranks, axis=0).reshape(image.shape)
