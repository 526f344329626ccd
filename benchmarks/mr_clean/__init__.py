"""How often MR normalisation is right, and how fast it is."""
