"""The DECIDE step: TOML rules read into frozen objects, and a pure decision with its reasons."""
