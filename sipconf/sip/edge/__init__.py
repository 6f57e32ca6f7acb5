"""Sockets, names and addresses of signalling."""
