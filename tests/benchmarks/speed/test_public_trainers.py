import itertools
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed.measuring import WorkerFailed
from benchmarks.speed.public_trainers import (
    Finished,
    Place,
    Size,
    environment,
    in_turn,
    random_images,
    read_gen_jax,
    timed,
    write_images,
)

SAID = """data     folder:x: 900 examples of 28x28x1, 100 held out
nets     encoder 422,440, decoder 412,944 parameters
devices  1 cpu, float32, batch 100
step 1799/1800  loss 100.5  elbo -1  12,500 examples/s  0:00 left
step 1800/1800  held-out  elbo -100
"""


def test_rate_and_parameters_are_read_from_what_an_experiment_prints():
    found = read_gen_jax(SAID, 20.0, steps=1800, batch_size=100)
    assert found == Finished(training=180_000 / 12_500, command=20.0, examples=180_000, parameters=835_384)


def test_one_network_is_read_too():
    assert read_gen_jax(SAID.replace("encoder 422,440, decoder 412,944", "network 7"), 1.0, 1800, 100).parameters == 7


def test_an_experiment_that_printed_no_rate_is_a_failure():
    with pytest.raises(WorkerFailed, match="printed no rate"):
        read_gen_jax("step 5/5  loss 1", 1.0, steps=1800, batch_size=100)


def test_sides_take_turns():
    order = []

    def side(name, seconds):
        def run(number):
            order.append((name, number))
            return Finished(seconds, 2 * seconds, 100, len(name))

        return run

    job = in_turn("x", "X", side("ours", 10.0), side("theirs", 15.0), 2)
    assert order == list(itertools.product(range(2), ("ours", "theirs"))) or order == [
        ("ours", 0), ("theirs", 0), ("ours", 1), ("theirs", 1),
    ]  # fmt: skip
    assert job.training.ratio == pytest.approx(1.5)
    assert job.training.ours == pytest.approx([0.1, 0.1])
    assert job.command.theirs == [30.0, 30.0]
    assert (job.our_parameters, job.their_parameters) == (4, 6)


def test_images_are_written_as_they_are(tmp_path):
    images = random_images(3, 5)
    write_images(images, tmp_path / "images")
    files = sorted((tmp_path / "images").iterdir())
    assert len(files) == 3
    for file, image in zip(files, images, strict=True):
        with Image.open(file) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), image[..., 0])


def test_a_command_that_fails_is_told_with_its_last_words():
    with pytest.raises(WorkerFailed, match=r"experiments\.nothing ended with code 1: .*No module named"):
        timed(["experiments.nothing"], {})


def test_on_a_cpu_no_accelerator_is_seen(tmp_path):
    assert environment(Place(tmp_path, "cpu", None))["CUDA_VISIBLE_DEVICES"] == ""
    assert "JAX_PLATFORMS" not in environment(Place(tmp_path, "gpu", None))


def test_sizes_are_enough_for_the_trainers():
    # The diffusion's trainer wants a hundred images, and the experiment's rate is that between two of its steps.
    assert Size().images >= 100
    assert Size().steps > 2
    assert sys.executable
