"""The HTTP side: health, metrics, API and events. The only rooms that know aiohttp."""
