"""Errors that a person can cause and correct."""


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Shown without a traceback."""


class PassingError(UserError):
    """A UserError that may have passed when the task is retried."""


def one_line(text: object) -> str:
    """Text of a library or a file on one line, for the sentence of an error."""
    return " ".join(str(text).split())
