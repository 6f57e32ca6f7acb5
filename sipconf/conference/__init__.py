"""Rooms, codes, administrators, waiting: what people may do and hear. Knows no SIP and no samples."""
