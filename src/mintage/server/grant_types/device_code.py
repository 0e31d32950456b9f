"""``grant_type=urn:ietf:params:oauth:grant-type:device_code`` (RFC 8628 §3.4).

A device polls until its person has answered. A poll that comes too early costs nothing but memory,
another one costs a read by key, and only the one that gets the tokens writes.
"""

from collections.abc import Collection
from typing import ClassVar, Final

from mintage.clients.client import DEVICE_CODE, Client
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.endpoints import DEVICE_AUTHORIZATION
from mintage.errors import (
    AccessDenied,
    AuthorizationPending,
    DeviceCodeExpired,
    InvalidGrant,
    OAuthError,
    SlowDown,
)
from mintage.events.event import Emit, ignore
from mintage.events.tokens import TokenIssued
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.grants.devices import Poll, code_hash
from mintage.grants.states import Reason
from mintage.partly_shown import PartlyShown
from mintage.server.device_codes import DeviceCode, DeviceCodes
from mintage.server.grant_type import TEXT, Members, Parameters, TokenRequest
from mintage.server.refusals import token_error
from mintage.server.requests import named_resource
from mintage.server.token_answer import Answer
from mintage.site.site import Site
from mintage.trust.issuer import Purpose
from mintage.values import Clock
from mintage.vault.device_grants import DeviceGrants
from mintage.vault.values import Refused
from mintage.web.forms import Form, one

SLOWER: Final = 5
"""By how many seconds each ``slow_down`` makes the interval longer (RFC 8628 §3.5)."""

_SLOWEST: Final = 60
_EARLY: Final = 0.5  # seconds that a poll may come early: clocks and networks are not exact
_MOST: Final = 20_000


class DeviceCodeRequest(PartlyShown, frozen=True, kw_only=True):
    """A poll (RFC 8628 §3.4)."""

    not_shown = ("device_code",)

    device_code: str
    resource: str | None

    @classmethod
    def parse(cls, form: Form, site: Site) -> "DeviceCodeRequest":
        """Raises `InvalidRequest`, `InvalidTarget`."""
        return cls(device_code=one(form, "device_code"), resource=named_resource(form, site))


class DeniedOnThePage(AccessDenied):
    """The person said no: ``access_denied`` (RFC 8628 §3.5)."""

    status = 400


class Polls:
    """When each device code was last looked up by this process, and how often it may be.

    *clock* cannot be set. *interval*: the seconds that devices are told.
    """

    def __init__(self, interval: int, clock: Clock) -> None:
        self._interval = interval
        self._clock = clock
        self._seen: BoundedMemory[bytes, tuple[float, int]] = BoundedMemory(_MOST)

    def admit(self, key: bytes) -> None:
        """Count one poll. Raises `SlowDown` if it comes too early, and then more are too early."""
        now = self._clock()
        at, interval = self._seen.get(key, (None, self._interval))
        if at is not None and now - at < interval - _EARLY:
            self._seen[key] = at, min(interval + SLOWER, max(_SLOWEST, self._interval))
            raise SlowDown("poll less often: add 5 seconds to the interval")
        self._seen[key] = now, interval

    def is_early(self, key: bytes) -> bool:
        at, interval = self._seen.get(key, (None, self._interval))
        return at is not None and self._clock() - at < interval - _EARLY


class DeviceCodeGrant(PartlyShown, frozen=True, kw_only=True):
    not_shown = ("polls",)

    site: Site
    devices: DeviceGrants
    tokens: Tokens
    codes: DeviceCodes
    polls: Polls
    clock: Clock
    emit: Emit = ignore

    name: ClassVar[str] = DEVICE_CODE
    parameters: ClassVar = Parameters(
        needed={"device_code": TEXT},
        others={"resource": TEXT},
    )

    @staticmethod
    def metadata(issuer: str, _: Collection[Purpose], /) -> Members:
        """RFC 8628 §4."""
        return {"device_authorization_endpoint": f"{issuer}/{DEVICE_AUTHORIZATION.name}"}

    async def concerns(self, form: Form, client: Client) -> bool:
        """Whether a person has answered: see `GrantType`.

        While nobody has, it raises what the device gets, so that its assertion is claimed once the
        tokens are there and costs no write before.
        """
        code = self.codes.read(one(form, "device_code"), client_id=client.client_id)
        if code is None:
            return False
        key, now = code_hash(code.secret), int(self.clock())
        if (
            is_over(code, now)
            or self.polls.is_early(key)
            or not await self.devices.is_answered(code.secret)
        ):
            self.polls.admit(key)
            raise unanswered(code, now)
        return True

    async def issue(self, request: TokenRequest) -> TokenResponse:
        client = request.client
        asked = DeviceCodeRequest.parse(request.form, self.site)
        code = self.codes.read(asked.device_code, client_id=client.client_id)
        if code is None:
            raise InvalidGrant(
                "the device code is not one of this client; ask for a new one",
                reason="device_code does not open",
            )
        poll = Poll(
            client_id=client.client_id,
            code_hash=code_hash(code.secret),
            resource=asked.resource,
            source=request.source,
            jkt=request.jkt,
            public=client.is_public,
        )
        self.polls.admit(poll.code_hash)
        answer = Answer(
            tokens=self.tokens,
            site=self.site,
            client=client,
            resource=poll.resource,
            jkt=request.jkt,
        )
        outcome = await self.devices.poll(code.secret, poll, answer)
        if isinstance(outcome, Refused):
            raise refusal(outcome.reason, code, int(self.clock()))
        response, party = answer(outcome), outcome.party(poll.resource)
        scopes = tuple(response.scope.split())
        self.emit(TokenIssued(party=party, grant_type=self.name, scopes=scopes))
        return response


def refusal(reason: Reason, code: DeviceCode, now: int) -> OAuthError:
    """What a device gets instead of tokens (RFC 8628 §3.5)."""
    match reason:
        case Reason.UNKNOWN:
            return unanswered(code, now)
        case Reason.CODE_EXPIRED:
            return _expired()
        case Reason.DENIED:
            return DeniedOnThePage(
                "the person denied access; ask for a new device code to try again",
                reason=reason.value,
                stage="consent",
            )
        case _:
            return token_error(reason)


def unanswered(code: DeviceCode, now: int) -> OAuthError:
    """What a device gets while nobody has answered."""
    if is_over(code, now):
        return _expired()
    return AuthorizationPending("nobody has answered yet: wait, and poll again")


def is_over(code: DeviceCode, now: int) -> bool:
    return now >= code.expires_at


def _expired() -> DeviceCodeExpired:
    return DeviceCodeExpired(
        "the device code has expired; ask for a new one, and show its user code"
    )
