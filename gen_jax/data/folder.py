"""Any folder of images as a data set: `folder:PATH`."""

from pathlib import Path

import numpy as np

from gen_jax.data.dataset import Arrays, Dataset, Split, fingerprint
from gen_jax.data.decode import decode_image
from gen_jax.data.field import image_fields
from gen_jax.data.files import ImageFile, find_images, inspect, unreadable
from gen_jax.data.materialise import as_split
from gen_jax.errors import ConfigError, DataError

HELD_OUT = 0.1


def folder(path: str, *, image_size: int | None, skip_bad_images: bool, memory_limit: int) -> Dataset:
    """The images under `path`, at any depth, as squares of uint8.

    Images keep one channel where all of them are grey, and have three otherwise. Where every image lies in a sub-folder
    of `path`, those sub-folders are the classes, in alphabetical order. A tenth is held out, at least one image, chosen
    by a hash of each image's name, so that adding images moves no other. Names that start with a dot are passed over.

    Args:
        path: the folder.
        image_size: side of the images (see `decode.fit`); may be None where all are squares of one size.
        skip_bad_images: leave out what cannot be read, naming it in `Dataset.skipped`, where otherwise it is an error.
        memory_limit: bytes; a set that takes more when decoded streams.

    Raises:
        DataError: the folder is missing, is a file, has fewer than two images, or one that cannot be read.
        ConfigError: the images differ in size, or are not square, and no image_size is given.
    """
    found = find_images(Path(path).expanduser())
    # Whether pixels can be decoded is known only by decoding them, which is worth a pass only where it matters.
    headers = inspect(found, thorough=skip_bad_images)
    files = [file for file, header in zip(found, headers, strict=True) if header.readable]
    skipped = tuple(str(file.path) for file, header in zip(found, headers, strict=True) if not header.readable)
    if skipped and not skip_bad_images:
        raise unreadable(skipped[0])
    if len(files) < 2:
        raise DataError(
            f"{path!r} holds {len(files)} readable image{'s' * (len(files) != 1)}: "
            "at least 2 are needed, one to learn from and one to hold out"
        )
    readable = [header for header in headers if header.readable]
    grey = all(header.grey for header in readable)
    side = image_size or _common_side(path, [header.size for header in readable])
    classes = _classes(files)
    shape = (side, side, 1 if grey else 3)
    in_memory = len(files) * int(np.prod(shape)) <= memory_limit

    def split(members: list[ImageFile]) -> Split:
        def read(indices: np.ndarray) -> Arrays:
            chosen = [members[i] for i in indices]
            arrays = {"x": np.stack([_decode(file, image_size, grey) for file in chosen])}
            if classes is not None:
                arrays["label"] = np.array([classes.index(file.top) for file in chosen], np.int32)
            return arrays

        # The time of change is part of the key but not of the fingerprint: a copy of the folder is the same data set.
        content = fingerprint([(file.name, file.size, file.changed) for file in members], shape, image_size, classes)
        return as_split(read, len(members), in_memory, f"folder-{content}")

    held_out = _held_out(files)
    return Dataset(
        name=f"folder:{path}",
        train=split([file for file in files if file not in held_out]),
        test=split([file for file in files if file in held_out]),
        fields=image_fields(shape, classes),
        fingerprint=fingerprint("folder", [(file.name, file.size) for file in files], shape, image_size),
        skipped=skipped,
    )


def _decode(file: ImageFile, image_size: int | None, grey: bool) -> np.ndarray:
    try:
        return decode_image(file.path.read_bytes(), image_size, grey)
    except ValueError as error:
        raise unreadable(str(file.path)) from error


def _classes(files: list[ImageFile]) -> tuple[str, ...] | None:
    """The sub-folders the images lie in, sorted; None where an image lies outside them all."""
    tops = {file.top for file in files}
    return None if "" in tops else tuple(sorted(tops))


def _held_out(files: list[ImageFile]) -> set[ImageFile]:
    """About a tenth of the files, at least one, and never all of them."""
    by_rank = sorted(files, key=lambda file: file.rank)
    count = sum(file.rank < HELD_OUT for file in files)
    return set(by_rank[: min(max(count, 1), len(files) - 1)])


def _common_side(path: str, sizes: list[tuple[int, int]]) -> int:
    """The one side of all the images, or what to do where there is no such thing."""
    width, height = sizes[0]
    if width == height and len(set(sizes)) == 1:
        return width
    shortest = min(min(size) for size in sizes)
    suggestion = min(64, max(8, 2 ** (shortest.bit_length() - 1)))
    what = f"are {width}x{height}" if len(set(sizes)) == 1 else f"have {len(set(sizes))} different sizes"
    raise ConfigError(
        f"the images in {path!r} {what}: "
        f"say which size of square to make of them, for example --image-size {suggestion}"
    )
