"""Floor 4: the flow of requests. It knows the seam, never a vendor."""
