"""The commands of a terminal: `python -m growth --help` lists them."""
