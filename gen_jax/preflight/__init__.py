"""What a run would need on devices that are not here: its real programs are compiled for them, and looked at."""
