"""``mintage keys new``."""

from mintage.crypto.derivation import check_secret
from tests.support.command import mintage


def test_each_new_secret_is_another_and_a_good_one() -> None:
    made = [mintage("keys", "new") for _ in range(2)]
    assert [done.returncode for done in made] == [0, 0]
    secrets = [done.stdout.strip() for done in made]
    assert secrets[0] != secrets[1]
    for secret in secrets:
        check_secret(secret if isinstance(secret, bytes) else secret.encode())
