"""The exception that means "the user can mend this"; every part of the package may import it."""


class UserError(Exception):
    """Bad input, setting or environment: one line that says what was expected, what came and the remedy.

    The command line prints it as ``error: …`` on stderr and exits with its status; no traceback is shown.
    """

    status = 2


class PartlyDone(UserError):
    """Some of many could not be done, each of which was named; the others are."""

    status = 1


def one_line(error):
    """Return an exception's message, which may have several lines or be empty, as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error):
    """Return the first line of an exception's message, of libraries whose messages go on with stacks; never empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
