"""Safelight wires the stages together: command line, configuration, daemon."""
