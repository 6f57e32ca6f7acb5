"""Sockets of media ports."""
