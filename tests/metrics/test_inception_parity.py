"""Inception-v3 beside pytorch-fid's, with the same random weights: features, logits and FID.

Needs PyTorch, which nothing else here does: `pip install 'gen_jax[parity]'`.
"""

import jax
import numpy as np
import pytest

from gen_jax.metrics import inception
from gen_jax.models.inception import InceptionV3
from tests.metrics.test_inception import numbers, varied_images

pytestmark = [
    pytest.mark.slow,
    # Of PyTorch and of what pytorch-fid asks of SciPy.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def reference():
    """The network that pytorch-fid puts together, without the download of its weights."""
    torch = pytest.importorskip("torch", reason="needs the extra `parity`")
    blocks = pytest.importorskip("pytorch_fid.inception", reason="needs the extra `parity`")
    from torchvision.models import Inception3

    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    network.Mixed_5b = blocks.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = blocks.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = blocks.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = blocks.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = blocks.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = blocks.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = blocks.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = blocks.FIDInceptionE_1(1280)
    network.Mixed_7c = blocks.FIDInceptionE_2(2048)
    state = network.state_dict()
    floats = {name: numbers(name, tuple(value.shape)) for name, value in state.items() if value.is_floating_point()}
    network.load_state_dict({**state, **{name: torch.from_numpy(array) for name, array in floats.items()}})
    return network.eval()


@pytest.fixture(scope="module")
def extract(reference):
    """(images, float64 or not) -> features, logits as pytorch-fid computes them."""
    import torch
    from pytorch_fid.inception import InceptionV3

    def extract(images: np.ndarray, double: bool = False) -> tuple[np.ndarray, np.ndarray]:
        network = reference.double() if double else reference.float()
        # Its own preparation of images, and its own choice of layers, with no constructor that would download.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pytorch_fid.inception.fid_inception_v3", lambda: network)
            wrapped = InceptionV3().eval()
        x = torch.from_numpy(images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).to(next(network.parameters()).dtype)
        features = []
        with torch.no_grad():
            for part in torch.split(x / 255, 16):
                features.append(wrapped(part)[0].flatten(1))
            logits = network.fc(torch.cat(features))
        return torch.cat(features).numpy(), logits.numpy()

    return extract


@pytest.fixture(scope="module")
def converted(reference, tmp_path_factory):
    """Our network, with the weights by way of the file."""
    import torch

    path = tmp_path_factory.mktemp("parity") / "weights.pth"
    torch.save(reference.float().state_dict(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_JAX_CACHE", str(path.parent))
        return inception.inception_network(inception.convert(path, any_weights=True))


def rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.square(array).mean()))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (300, 350, 3)], ids=str)
def test_features_and_logits_agree(extract, converted, shape):
    images = varied_images(4, shape)
    features, logits = extract(images)
    found = jax.jit(lambda variables, x: InceptionV3().apply(variables, inception.prepare(x)))
    for ours, theirs in zip(found(converted.variables, images), (features, logits), strict=True):
        # Relative to their size, and to how much they differ from image to image, which is what distances see.
        assert rms(theirs.std(axis=0)) > 0.02 * rms(theirs)
        assert np.abs(ours - theirs).max() < 1e-4 * min(rms(theirs), rms(theirs.std(axis=0)))


def test_frechet_distance_agrees(extract, converted):
    from pytorch_fid.fid_score import calculate_frechet_distance

    from gen_jax.metrics.frechet import frechet_distance
    from gen_jax.metrics.moments import Moments

    apply = jax.jit(converted.apply)
    theirs, ours = [], []
    for seed, brightness in ((1, 1.0), (2, 0.8)):
        images = (varied_images(48, (32, 32, 3), seed) * brightness).astype(np.uint8)
        theirs.append(extract(images)[0].astype(np.float64))
        ours.append(np.concatenate([apply(converted.variables, part)[0] for part in np.split(images, 3)]))
    # Of 32 features, from those that vary most to those that hardly do: the reference takes the square root of a matrix
    # that has none to speak of where there are more features than images, or where a feature never changes.
    chosen = np.argsort(-theirs[0].std(axis=0) * theirs[1].std(axis=0))[:1600:50]
    moments = [(features.mean(axis=0), np.cov(features, rowvar=False)) for features in (x[:, chosen] for x in theirs)]
    expected = calculate_frechet_distance(*moments[0], *moments[1])
    assert expected > 1
    found = frechet_distance(*(Moments.of(features[:, chosen]) for features in ours))
    assert found == pytest.approx(expected, rel=0, abs=1e-3)
