"""The one kind of error that a person can cause and mend."""


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Shown without a traceback."""


class PassingError(UserError):
    """The same, where it may be over when one tries again."""
