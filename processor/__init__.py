"""The PROCESS step: one closed series in, verified files out. It never edits source pixels."""
