"""denoising-diffusion-pytorch's trainer on a folder of images, with what is not training switched off.

    python -m benchmarks.speed.public.denoising_diffusion FOLDER DIRECTORY STEPS BATCH SIZE CHANNELS

It samples and saves only at a step that is never reached, and computes no FID.
"""

import json
import sys
import time

from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet


def main() -> None:
    """Trains, and prints a line of JSON: {"seconds": of training, "examples": …, "parameters": …}."""
    folder, directory = sys.argv[1:3]
    steps, batch_size, size, channels = map(int, sys.argv[3:7])
    network = Unet(dim=32, dim_mults=(1, 2, 4), channels=channels)
    diffusion = GaussianDiffusion(network, image_size=size, timesteps=1000, objective="pred_noise")
    trainer = Trainer(
        diffusion,
        folder,
        train_batch_size=batch_size,
        train_lr=1e-3,
        train_num_steps=1,
        ema_update_every=1,
        augment_horizontal_flip=False,
        save_and_sample_every=10**9,
        calculate_fid=False,
        results_folder=directory,
    )
    # The first step starts the processes that decode; gen_jax's compiles. Neither is counted.
    trainer.train()
    trainer.train_num_steps = steps
    begun = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begun
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print("RESULT", json.dumps({"seconds": seconds, "examples": (steps - 1) * batch_size, "parameters": parameters}))


if __name__ == "__main__":
    main()
