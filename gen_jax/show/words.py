"""What data are, in words: "8×8×1 pixels", "24 steps of 3 channels", "16 words of 40"."""

from collections.abc import Mapping

from gen_jax.data.field import Field


def worded(field: Field) -> str:
    """What one entry of a batch is."""
    sizes = [f"{size:,}" for size in field.shape]
    if field.kind == "image":
        return f"{'×'.join(sizes)} pixels"
    if field.kind == "points":
        return "a point of the plane"
    if field.kind == "series":
        return f"{_counted(field.shape[0], 'step')} of {_counted(field.shape[1], 'channel')}"
    if field.kind == "audio":
        return f"a sound of {_counted(field.shape[0], 'value')}"
    if field.kind == "tokens":
        of = "" if field.size is None else f" of {field.size:,}"
        return _counted(field.shape[0], "word" if field.names else "token") + of
    if field.kind == "table":
        return _counted(field.shape[0], "column")
    if field.kind == "attributes":
        return _counted(field.shape[0], "attribute")
    if field.kind == "label":
        return "a label" if field.size is None else _counted(field.size, "class", "classes")
    return f"{'×'.join(sizes) or 1} codes" + ("" if field.values is None else f" of {field.values:,} values")


def worded_example(fields: Mapping[str, Field], streams: Mapping[str, tuple[int, int]] | None = None) -> str:
    """What an example is: x, the classes, and each other entry by its name; then the sizes of further streams.

    Args:
      fields: of a batch.
      streams: {name: (training, held-out examples)}.
    """
    parts = [worded(fields["x"])]
    for name, field in fields.items():
        if name != "x":
            parts.append(worded(field) if name == "label" else f"{name}: {worded(field)}")
    parts += [f"a stream {name} of {train:,} and {test:,}" for name, (train, test) in (streams or {}).items()]
    return ", ".join(parts)


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
