"""Packets: RTP, RTCP and telephone-event, streams and jitter buffers (RFC 3550, 3551, 4733). Knows no samples."""
