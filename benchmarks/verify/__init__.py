"""What the verifier finds in the conversions of several programs."""
