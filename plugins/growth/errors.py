"""Errors that a person can cause and correct."""


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Shown without a traceback."""


class PassingError(UserError):
    """A UserError that may have passed when the task is retried."""
