"""A source that invents a company from a seed."""
