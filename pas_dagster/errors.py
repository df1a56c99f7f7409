"""The one error a user is meant to read."""


class PasError(Exception):
    """Something the user can mend: one sentence that names what, where and what to do.

    The command line prints the sentence and exits with 1; nothing has been half-written when it is raised.
    """
