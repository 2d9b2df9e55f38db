"""Mathematics used by two papers or more."""
