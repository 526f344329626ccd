"""What quality control says of real series, for a person to review."""
