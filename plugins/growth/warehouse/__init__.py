"""What a run does to a warehouse: make tables, land batches, compute, check, publish, verify, erase."""
