import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digit_pixels() -> np.ndarray:
    """1,797 real images in random order, uint8 (n, 64)."""
    images = load_digits().data.astype(np.uint8) * 16
    return np.random.default_rng(0).permutation(images)
