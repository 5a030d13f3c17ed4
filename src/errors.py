"""The one exception that means "the user can mend this".

Every part of the package may import this module; it imports nothing.
"""


class UserError(Exception):
    """Bad input, setting or environment: one line that says what was expected, what came and the remedy.

    The command line prints it as ``error: …`` on stderr and exits with status 2; no traceback is shown.
    """
