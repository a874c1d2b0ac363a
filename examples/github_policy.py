"""Users of GitHub by their tokens, as `github:<number of the account>`."""

import re
import time
from collections.abc import Mapping
from hashlib import sha256

from chalicelib.auth.fetching import FetchError, fetch_json
from chalicelib.auth.policies import PolicyUnavailableError, RefusedCredentialsError
from chalicelib.protocol.messages import Request


class GithubPolicy:
    """Asks GitHub whose token it is, once a minute. Option `url`: that of GitHub's API."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        """Take the policy's name and options; ask nothing yet."""
        self.name, self.challenge = name, 'Bearer realm="Realm"'
        self._url = options.get("url", "https://api.github.com") + "/user"
        self._users: dict[bytes, str] = {}  # by a hash, so that times tell nothing of tokens

    def user_id(self, request: Request) -> str | None:
        """The number of the account; None for tokens that GitHub is not to see."""
        sent = request.headers.get("authorization", "")
        if not re.fullmatch(r"(?ia)bearer (gh[a-z]|github_pat)_\w{1,255}", sent):
            return None
        key = sha256(f"{time.monotonic() // 60} {sent}".encode()).digest()
        try:
            user = self._users.get(key) or str(fetch_json(self._url, {"Authorization": sent})["id"])
        except FetchError as error:
            if error.status == 401:
                raise RefusedCredentialsError("GitHub knows no such token") from None
            raise PolicyUnavailableError("GitHub does not answer") from error
        self._users = {**dict(list(self._users.items())[-999:]), key: user}
        return user
