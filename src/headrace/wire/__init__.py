"""Floor 1: how each API writes. Pure codecs between values and bytes."""
