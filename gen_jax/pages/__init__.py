"""Pages that are one file each: they open from disk, without a network."""
