import importlib.util
import sys
import types

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.file_adapters import FileFormat

from gen_jax.data import prepare


class FakeBuilder:
    """Stands in for a TFDS builder, which needs TensorFlow and the network, and notes what is asked of it."""

    data_path = "/data/mnist/3.0.1"

    def __init__(self, prepared=False, formats=(), error=None):
        self.prepared, self.error, self.calls = prepared, error, []
        self.info = types.SimpleNamespace(available_file_formats=lambda: set(formats))

    def is_prepared(self):
        return self.prepared

    def download_and_prepare(self, **options):
        self.calls.append(("download_and_prepare", options))
        if self.error:
            raise self.error


@pytest.fixture
def with_tensorflow(monkeypatch):
    def install(builder):
        converted = types.ModuleType("convert_format_utils")
        converted.convert_dataset = lambda **options: builder.calls.append(("convert", options))
        monkeypatch.setitem(sys.modules, "tensorflow_datasets.scripts.cli.convert_format_utils", converted)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)

        def make(name, data_dir):
            if name == "nonsense":
                raise tfds.core.DatasetNotFoundError("no")
            builder.calls.append((name, data_dir))
            return builder

        monkeypatch.setattr(tfds, "builder", make)
        return builder

    return install


def test_without_tensorflow_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert prepare.main(["mnist"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert 'pip install "gen_jax[tfds]"' in err


def test_a_new_set_is_written_as_array_record(with_tensorflow, capsys):
    builder = with_tensorflow(FakeBuilder())
    assert prepare.main(["mnist", "--data-dir", "/data"]) == 0
    assert builder.calls == [("mnist", "/data"), ("download_and_prepare", {"file_format": "array_record"})]
    assert "mnist is ready in /data/mnist/3.0.1" in capsys.readouterr().out


def test_a_set_that_is_there_is_left_alone(with_tensorflow):
    builder = with_tensorflow(FakeBuilder(prepared=True, formats=[FileFormat.ARRAY_RECORD]))
    assert prepare.main(["mnist"]) == 0
    assert builder.calls == [("mnist", None)]


def test_a_set_in_another_format_gets_array_record_files_beside(with_tensorflow):
    builder = with_tensorflow(FakeBuilder(prepared=True, formats=[FileFormat.TFRECORD]))
    assert prepare.main(["mnist"]) == 0
    name, options = builder.calls[1]
    assert name == "convert"
    assert options == {"out_dir": None, "out_file_format": "array_record", "dataset_version_dir": "/data/mnist/3.0.1"}


def test_an_unknown_set_and_a_failed_download_are_one_line(with_tensorflow, capsys):
    with_tensorflow(FakeBuilder(error=OSError("no route\nto host")))
    assert prepare.main(["nonsense"]) == 3
    assert capsys.readouterr().err == "error: TFDS knows no data set 'nonsense'\n"
    assert prepare.main(["mnist"]) == 3
    assert capsys.readouterr().err == "error: TFDS could not prepare 'mnist': OSError: no route to host\n"
