"""The one check of a bearer token, for every port that asks for one. What to answer who has none is the caller's."""

import hmac


def allows(authorization: str, token: str) -> bool:
    """Whether an Authorization header's value carries `token`. An empty token allows nobody.

    Compared even when the scheme is wrong, and in constant time, so that the time taken tells nothing.
    """
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return same and scheme.lower() == "bearer" and bool(token)
