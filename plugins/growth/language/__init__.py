"""What the project says: the dictionary, the tables, and the statements that follow from both."""
