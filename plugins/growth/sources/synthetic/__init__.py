"""The source of an invented company, made up from a seed."""
