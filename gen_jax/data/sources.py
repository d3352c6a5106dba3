"""One source of batches for a split, or for several that go each in its own order."""

import hashlib
from collections.abc import Mapping

import jax

from gen_jax.data.batches import Batch, BatchSource, Counter, Feed, Resident, Streamed
from gen_jax.data.dataset import Split, Streams, of_stream
from gen_jax.errors import ConfigError

MAIN = ""
"""The name of the main split among streams; no other has it."""


class Merged:
    """A source whose batches have the entries of several sources, each of its own size and order.

    The rows of one source stay together; those of two do not belong to each other. A batch is the entries of the main
    source, "index" among them, and of each other, whose positions are "index_NAME".
    """

    def __init__(self, sources: Mapping[str, BatchSource]) -> None:
        """Sources by the name of their stream, of which one is `MAIN`; no two have an entry of one name."""
        self.sources = sources
        self.same_feed = all(source.same_feed for source in sources.values())

    def feed(self, step: int) -> Feed:
        """What each source hands to a step, by the name of its stream."""
        return {name: source.feed(step) for name, source in self.sources.items()}

    def batch(self, feed: Feed, step: Counter, draw: Counter) -> Batch:
        """The entries of the same batch of all sources."""
        merged: Batch = {}
        for name, source in self.sources.items():
            rows = source.batch(feed[name], step, draw)
            merged |= rows if name == MAIN else of_stream(name, rows)
        return merged

    def close(self) -> None:
        """Close every source."""
        for source in self.sources.values():
            source.close()


def open_source(
    split: Split | Streams,
    *,
    batch_size: int,
    seed: int,
    draws: int,
    sharding: jax.sharding.Sharding | None = None,
    stream_sharding: jax.sharding.Sharding | None = None,
    start: int = 0,
) -> BatchSource:
    """`Resident` for a split with arrays, with `sharding`; `Streamed` for any other, with `stream_sharding`.

    Further streams have one of their own each, and an order of their own: `Merged`. Raises ConfigError where a split
    has fewer examples than a batch.
    """
    streams = split if isinstance(split, Streams) else Streams(split)
    for name, other in streams.others.items():
        # Before anything is opened, which would have to be closed again.
        if batch_size > other.size:
            raise ConfigError(
                f"--batch-size {batch_size}: must be between 1 and the number of training examples in the stream "
                f"{name!r}, {other.size}"
            )

    def opened(part: Split, seed: int) -> BatchSource:
        if part.arrays is not None:
            return Resident(part, batch_size=batch_size, seed=seed, draws=draws, sharding=sharding)
        return Streamed(part, batch_size=batch_size, seed=seed, draws=draws, sharding=stream_sharding, start=start)

    main = opened(streams.main, seed)
    if not streams.others:
        return main
    others = {name: opened(other, seed_of(seed, name)) for name, other in streams.others.items()}
    return Merged({MAIN: main, **others})


def seed_of(seed: int, stream: str) -> int:
    """The seed of a further stream's order. Streams of one size with one seed would go through their rows in step."""
    return int.from_bytes(hashlib.sha256(f"{seed} {stream}".encode()).digest()[:4], "big")
