import pytest
import scheduling


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("tests/losses/test_elbo.py::test_it[a-b]", "tests/losses/test_elbo.py"),
        ("tests/experiments/test_contract.py::test_it[wgan_gp]", "experiments.wgan_gp"),
        ("tests/experiments/test_contract.py::test_it[wgan_gp-paper]", "experiments.wgan_gp"),
        ("tests/experiments/test_training.py::test_it[wgan_gp]", "experiments.wgan_gp"),
        ("tests/experiments/test_contract.py::test_there_are_experiments", "tests/experiments/test_contract.py"),
        ("tests/experiments/test_ddpm.py::test_it[0-4]", "tests/experiments/test_ddpm.py"),
    ],
)
def test_tests_are_in_one_process_by_file_or_by_experiment(test, group):
    assert scheduling.group_of(test) == group
