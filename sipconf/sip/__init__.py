"""Signalling: messages, transactions, dialogs, sessions, offers, registrar (RFC 3261 and company). Sans-IO."""
