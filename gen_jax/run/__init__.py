"""A run on disk and on devices: its directory, its setup, its training, and what a state of it is worth."""
