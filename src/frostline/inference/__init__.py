"""Trained networks put to use: checkpoints read, new images predicted."""
