"""pythae's VAE trainer on its own default network for MNIST: one hidden layer of 512 units on either side.

    python -m benchmarks.speed.public.pythae_vae IMAGES.npy DIRECTORY EPOCHS BATCH LATENT DEVICE

Its progress bars go where its errors go.
"""

import json
import logging
import sys
import time

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig


def main() -> None:
    """Trains, and prints a line of JSON: {"seconds": of training, "examples": …, "parameters": …}."""
    logging.disable(logging.CRITICAL)
    images, directory = sys.argv[1:3]
    epochs, batch_size, latent = map(int, sys.argv[3:6])
    x = torch.tensor(np.load(images).transpose(0, 3, 1, 2) / 255.0, dtype=torch.float32)
    model = VAE(VAEConfig(input_dim=tuple(x.shape[1:]), latent_dim=latent, reconstruction_loss="bce"))
    config = BaseTrainerConfig(
        output_dir=directory,
        learning_rate=1e-3,
        per_device_train_batch_size=batch_size,
        num_epochs=epochs,
        optimizer_cls="Adam",
        no_cuda=sys.argv[6] == "cpu",
    )
    trainer = BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=config)
    begun = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begun
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print("RESULT", json.dumps({"seconds": seconds, "examples": epochs * len(x), "parameters": parameters}))


if __name__ == "__main__":
    main()
