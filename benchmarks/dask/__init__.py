"""How many jobs a second the engines run, and what the length of the queue does to that."""
