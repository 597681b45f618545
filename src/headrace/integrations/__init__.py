"""Doors to other libraries' worlds; nothing below knows of them."""
