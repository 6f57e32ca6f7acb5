"""Frames of many legs between wire bytes and samples, one file per codec."""
