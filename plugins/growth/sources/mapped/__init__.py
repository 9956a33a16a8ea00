"""Sources that a mapping in include/sources describes: files of any vendor become raw rows."""
