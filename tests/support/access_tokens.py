"""What the server reads in an access token."""

from mintage.grant_tokens import Tokens
from mintage.grants import handles


def handle_of(tokens: Tokens, access_token: str, resource: str) -> handles.Handle:
    return tokens.read_access(access_token, resource).handle
