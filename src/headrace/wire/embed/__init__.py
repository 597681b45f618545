"""Embeddings: one module for each form, with ``encode`` and ``decode``."""
