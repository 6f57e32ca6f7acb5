"""Sound files: the only part of the mixer that touches the disk."""
