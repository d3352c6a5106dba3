"""Download a TFDS set and write it in a format that is read without TensorFlow: `python -m gen_jax.data.prepare NAME`.

This is the only thing in gen_jax that needs TensorFlow, and the only thing that downloads.
"""

import argparse
import importlib.util
import sys

from gen_jax.errors import ConfigError, DataError, GenJaxError


def prepare(name: str, data_dir: str | None = None) -> str:
    """Download and write the TFDS set `name` as array_record under `data_dir`; returns its directory.

    A set that is there already is left alone; one that is there in another format has array_record files added.

    Raises:
        ConfigError: TensorFlow is not installed.
        DataError: TFDS knows no such set, or could not prepare it.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ConfigError('preparing a data set needs TensorFlow, reading it does not: pip install "gen_jax[tfds]"')
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.file_adapters import FileFormat
    from tensorflow_datasets.scripts.cli.convert_format_utils import convert_dataset

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.is_prepared():
            builder.download_and_prepare(file_format="array_record")
        elif FileFormat.ARRAY_RECORD not in builder.info.available_file_formats():
            convert_dataset(out_dir=None, out_file_format="array_record", dataset_version_dir=builder.data_path)
    except tfds.core.DatasetNotFoundError as error:
        raise DataError(f"TFDS knows no data set {name!r}") from error
    except Exception as error:
        # A download fails in as many ways as there are sites: whatever it was, say it in one line.
        reason = " ".join(str(error).split())[:500]
        raise DataError(f"TFDS could not prepare {name!r}: {type(error).__name__}: {reason}") from error
    return str(builder.data_path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gen_jax.data.prepare", description=__doc__)
    parser.add_argument("name", help="the set, as TFDS writes it: NAME, NAME/CONFIG or NAME:VERSION")
    parser.add_argument("--data-dir", default=None, help="where TFDS keeps its sets (default: TFDS's own)")
    options = parser.parse_args(arguments)
    try:
        print(f"{options.name} is ready in {prepare(options.name, options.data_dir)}")
    except GenJaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
