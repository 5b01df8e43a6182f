"""Groups of errors, as task groups raise them, for whoever has one error to tell or to raise."""


def first(error: BaseException) -> BaseException:
    """The first error of a group, however deep groups lie in groups; what is no group is given back."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
