"""The one kind of error that a person can cause and mend."""


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Shown without a traceback."""


class PassingError(UserError):
    """The same, where it may be over when one tries again."""


def one_line(text: object) -> str:
    """Text of a library or a file on one line, for the sentence of an error."""
    return " ".join(str(text).split())
