import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.measures import measure
from gen_jax.measures.agreement import wilson


def test_interval_of_a_share_is_wilsons():
    # Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
    np.testing.assert_allclose(wilson(81, 263), (0.2553, 0.3662), atol=5e-5)
    np.testing.assert_allclose(wilson(15, 148), (0.0624, 0.1605), atol=5e-5)
    np.testing.assert_allclose(wilson(0, 20), (0.0, 0.1611), atol=5e-5)


def test_a_method_that_nobody_can_ask_for_a_class_has_none(subject, vae_run):
    with pytest.raises(ConfigError, match="agreement does not apply: nobody can ask this method for a class"):
        measure(subject(vae_run), ["agreement"])
