"""Figures as ratios in one run: headrace beside a bare aiohttp loop and beside its peers.

``python -m benchmarks`` runs them all and ends with one Markdown table; ``--quick`` shrinks them.
"""
