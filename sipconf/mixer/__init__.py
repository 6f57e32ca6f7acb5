"""Samples: decode, level, conceal, mix minus one, resample, play, encode. Knows no packets."""
