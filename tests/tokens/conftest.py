import pytest

from mintage.jwt_issuer import JWTIssuer
from tests.support.forge import AUDIENCE, ISSUER, KEY, NOW


@pytest.fixture
def issuer() -> JWTIssuer:
    return JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
