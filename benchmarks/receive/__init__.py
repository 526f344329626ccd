"""The receive benchmark: C-STORE into Safelight and into other storage SCPs, in turns."""
