"""nginx, HAProxy and Envoy verify tokens as in the manual, without a question to Mintage.

The proxies are real, and so is what they stand in front of: the tests look at what it saw.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mintage.crypto.base64url import encode_text
from mintage.jwt.asymmetric import P256_ORDER
from mintage.testing.nanoidp import free_port
from tests.support.raw_backend import RawBackend
from tests.support.verifying_proxies import COMMANDS, Issuer, Proxy, asked, es256, signed, verifying


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(free_port())
    async with issuer.running():
        yield issuer


@pytest.fixture(params=COMMANDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def proxy(kind: str, issuer: Issuer, raw: RawBackend, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with verifying(kind, tmp_path, issuer, raw.port) as proxy:
        yield proxy


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    assert found is not None, answer
    return int(found[1])


async def ask(proxy: Proxy, token: str, *lines: str, target: str = "/mcp/x", **how: str) -> bytes:
    return await asked(proxy.port, f"Authorization: Bearer {token}", *lines, target=target, **how)


async def test_a_good_token_passes_and_the_backend_is_told_who_it_is(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    token = issuer.token()
    for _ in range(3):
        assert status(await ask(proxy, token)) == 200
    assert len(raw.seen) == 3
    for scope in raw.seen:
        headers = dict(scope["headers"])
        assert headers[b"x-forwarded-user"] == b"alice"
        assert token.encode() not in str(scope["headers"]).encode()
        assert headers.get(b"authorization", b"") == b""
        assert scope["raw_path"] == b"/mcp/x"


async def test_without_a_token_the_client_hears_where_to_log_in(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    answer = await asked(proxy.port)
    assert status(answer) == 401
    metadata = f'{issuer.url}/.well-known/oauth-protected-resource/mcp"'
    assert metadata.encode() in answer
    assert raw.seen == []


async def test_attack_a01_a_token_that_is_not_the_issuers_does_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    good, stranger = issuer.token(), es256()
    assert status(await ask(proxy, good)) == 200  # and is remembered
    header, payload, signature = good.split(".")
    none = encode_text(b'{"alg":"none","typ":"at+jwt"}')
    hs256 = encode_text(f'{{"alg":"HS256","kid":"{issuer.keys[0].kid}","typ":"at+jwt"}}'.encode())
    spaced = encode_text(
        f'{{"alg": "ES256", "kid": "{issuer.keys[0].kid}", "typ": "at+jwt"}}'.encode()
    )
    other = encode_text(b'{"sub":"root"}')
    s = int.from_bytes(bytes.fromhex("00" * 31 + "01"))
    zeros = encode_text((0).to_bytes(32) + (0).to_bytes(32))
    order = encode_text(P256_ORDER.to_bytes(32) + s.to_bytes(32))
    for bad in (
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{hs256}.{payload}.{signature}",
        f"{spaced}.{payload}.{signature}",
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{zeros}",
        f"{header}.{payload}.{order}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}.{signature}=",
        f"{header}..{signature}",
        f"toString.{payload}.{signature}",
        f"__proto__.{payload}.{signature}",
        signed(issuer.claims(), stranger, "at+jwt"),
        f"{header}.{payload}.{signed(issuer.claims(), stranger, 'at+jwt').split('.')[2]}",
        "x",
    ):
        assert status(await ask(proxy, bad)) == 401, bad
    assert len(raw.seen) == 1


@pytest.mark.parametrize("kind", ["nginx", "nginx with Lua"])
async def test_attack_a01_another_spelling_of_a_signature_does_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    """The last letter of 64 bytes has four bits too many: others decode to the same bytes."""
    good = issuer.token()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    stray = letters[letters.index(good[-1]) + 1]
    assert status(await ask(proxy, good[:-1] + stray)) == 401
    assert status(await ask(proxy, good)) == 200


async def test_attack_a01_no_token_rides_on_one_that_begins_alike(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    """Proxies remember good tokens. Long ones too."""
    issuer.list_seconds = 600
    await proxy.renew()
    fill = 2048 - len(f"Bearer {issuer.token(jti='')}")
    passed = 0
    for length in (1, fill * 3 // 4 - 3, fill * 3 // 4, fill * 3 // 4 + 3, 2000):
        good = issuer.token(jti="j" * length)
        header, payload, signature = good.split(".")
        for _ in range(2):
            assert status(await ask(proxy, good)) == 200
            passed += 1
        flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
        middle = signature[:43] + ("B" if signature[43] == "A" else "A") + signature[44:]
        root = encode_text(b'{"sub":"root"}')
        for bad in (
            f"{header}.{payload}.{flipped}",
            f"{header}.{payload}.{middle}",
            f"{header}.{payload}.{signature[:-4]}",
            f"{header}.{payload}.{signature[:40]}",
            f"{header}.{payload}.{signature}AAAA",
            f"{header}.{payload}.{signature}.{root}",
            f"{header}.{payload}",
            f"{header}.{payload}.",
            f"{header}.{root}.{signature}",
            f"{header}.{payload}{root}.{signature}",
            good.swapcase(),
        ):
            assert status(await ask(proxy, bad)) == 401, (length, bad)
        for line in (f"Authorization: Basic {good}", f"Authorization: {good}", f"X: Bearer {good}"):
            assert status(await asked(proxy.port, line)) == 401, line
        assert status(await ask(proxy, good, "Authorization: x")) >= 400
    assert len(raw.seen) == passed


async def test_attack_a09_a_remembered_token_ends_when_it_says(
    proxy: Proxy, kind: str, issuer: Issuer, raw: RawBackend
) -> None:
    end = int(time.time()) + 3
    token = issuer.token(exp=end)
    assert status(await ask(proxy, token)) == 200
    assert status(await ask(proxy, token)) == 200
    skew = 5 if kind == "envoy" else 0
    async with asyncio.timeout(20):
        while status(await ask(proxy, token)) == 200:
            assert time.time() < end + skew + 1
            await asyncio.sleep(0.1)
    assert status(await ask(proxy, token)) == 401


async def test_attack_e13_a_remembered_token_is_judged_for_each_request(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    """What is kept of a token says nothing about method, path, page or a second token."""
    token, admin = issuer.token(), issuer.token(sub="bob", scope="admin tools")
    for known in (token, admin, token, admin):
        assert status(await ask(proxy, known)) == 200
    riders: list[tuple[tuple[str, ...], str, str]] = [
        ((), "DELETE", "/mcp/x"),
        ((), "DELETE", "/mcp"),
        ((), "get", "/mcp/x"),
        ((), "GET", "/mcp/x%2f..%2fy"),
        ((), "GET", "//mcp/x"),
        ((), "GET", "/mcpx"),
        ((), "GET", "/other"),
        (("Origin: https://evil.example",), "GET", "/mcp/x"),
        (("Origin: https://evil.example", "Origin: http://localhost"), "GET", "/mcp/x"),
        ((f"Authorization: Bearer {admin}",), "GET", "/mcp/x"),
        (("Authorization: Bearer x",), "GET", "/mcp/x"),
    ]
    for lines, method, target in riders:
        answer = await ask(proxy, token, *lines, target=target, method=method)
        assert 400 <= status(answer) < 500, (lines, method, target)
    assert status(await ask(proxy, admin, method="DELETE")) == 200
    users = [dict(scope["headers"])[b"x-forwarded-user"] for scope in raw.seen]
    assert users == [b"alice", b"bob"] * 2 + [b"bob"]


@pytest.mark.parametrize("kind", ["nginx", "nginx with Lua"])
async def test_attack_e13_no_request_rides_on_the_one_before_it_on_its_connection(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    """Nor behind so many headers that a script which lists them may stop before the last."""
    many = "".join(f"X-{number}: a\r\n" for number in range(120))
    known = f"Authorization: Bearer {issuer.token()}\r\n"
    requests = (
        ("GET /mcp/x", known),
        ("DELETE /mcp/x", known),
        ("GET /mcp/x", ""),
        ("GET /mcp/x", f"{many}Origin: https://evil.example\r\n{known}"),
        ("GET /mcp/x", f"{many}{known}"),
    )
    seen, found = b"", list[bytes]()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        for line, more in (*requests, *requests):
            head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n{more}\r\n"
            writer.write(head.encode())
        async with asyncio.timeout(20):
            while len(found) < 10 and (data := await reader.read(65536)):
                seen += data
                found = re.findall(rb"HTTP/1.1 (\d+) ", seen)
    finally:
        writer.close()
    assert found == [b"200", b"403", b"401", b"403", b"200"] * 2
    assert [dict(scope["headers"])[b"x-forwarded-user"] for scope in raw.seen] == [b"alice"] * 4


@pytest.mark.parametrize("kind", ["nginx", "nginx with Lua"])
@pytest.mark.parametrize("name", ["ended", "keys.json"])
async def test_attack_d11_files_that_can_not_be_read_are_an_outage(
    proxy: Proxy, issuer: Issuer, raw: RawBackend, tmp_path: Path, name: str
) -> None:
    for text in (None, b"", b"{"):
        (tmp_path / name).unlink()
        if text is not None:
            (tmp_path / name).write_bytes(text)
        await asyncio.sleep(1.1)  # files are looked at again in each second
        answer = await ask(proxy, issuer.token())
        assert (status(answer), b"retry-after: 5" in answer.lower()) == (503, True), text
        (tmp_path / name).touch()
    assert raw.seen == []


async def test_attack_e13_a_full_memory_mixes_no_users(
    kind: str, issuer: Issuer, raw: RawBackend, tmp_path: Path
) -> None:
    """It is emptied when one more token comes: each is then verified anew."""
    if kind == "nginx":
        pytest.skip("nginx keeps answers in a cache of its own")
    file, most, few = {
        "nginx with Lua": ("mintage_verify.lua", "MOST, LONGEST = 5000", "MOST, LONGEST = 2"),
        "haproxy": ("verify.lua", "MOST = 10000", "MOST = 2"),
        "envoy": ("judge.lua", "MOST = 10, 1000", "MOST = 10, 2"),
    }[kind]
    ended = issuer.token(sub="ended", status={"status_list": {"idx": 9, "uri": "x"}})
    issuer.ended.add(9)
    names = [f"user-{number}" for number in range(4)]
    tokens = [issuer.token(sub=name) for name in names]
    async with verifying(kind, tmp_path, issuer, raw.port, change={file: (most, few)}) as proxy:
        for _ in range(3):
            for token in tokens:
                assert status(await ask(proxy, token)) == 200
                assert status(await ask(proxy, ended)) == 401
    users = [dict(scope["headers"])[b"x-forwarded-user"].decode() for scope in raw.seen]
    assert users == names * 3


@pytest.mark.parametrize(
    "broken", ['local line = txn.f:req_fhdr("authorization")', "count = count + 1"]
)
async def test_attack_d11_a_script_that_fails_is_an_outage_and_ends_no_token(
    issuer: Issuer, raw: RawBackend, tmp_path: Path, broken: str
) -> None:
    """HAProxy goes on with its rules where a script fails. A 401 would end a good token."""
    change = {"verify.lua": (f"  {broken}\n", '  error("broken")\n')}
    async with verifying("haproxy", tmp_path, issuer, raw.port, change=change) as proxy:
        answer = await ask(proxy, issuer.token())
        assert (status(answer), b"retry-after: 5" in answer) == (503, True)
        assert status(await ask(proxy, issuer.token(key=es256()))) == 401
    assert raw.seen == []


async def test_attack_a01_a_signed_text_of_another_kind_is_no_access_token(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    for typ in ("JWT", "identity+jwt", "statuslist+jwt", "logout+jwt", "AT+JWT"):
        assert status(await ask(proxy, issuer.token(typ=typ))) == 401, typ
    assert status(await ask(proxy, issuer.token(token_use="refresh"))) == 401
    assert raw.seen == []


async def test_attack_a09_claims_that_are_for_somebody_else_do_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        {"aud": f"{issuer.url}/other"},
        {"aud": f"{issuer.url}/mcp/"},
        {"aud": [f"{issuer.url}/mcp"]},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": now - 30},
        {"exp": None},
        {"exp": "soon"},
        {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
        {"cnf": {"x5t#S256": "a"}},
        {"cnf": {}},
        {"status": None},
        {"status": {"status_list": {"uri": f"{issuer.url}/status-list"}}},
    ]
    for bad in wrong:
        assert status(await ask(proxy, issuer.token(**bad))) in (401, 403), bad
    assert raw.seen == []


async def test_attack_a09_claims_of_another_type_do_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    """A script that stumbles over one lets nobody through: Envoy goes on without it."""
    odd: list[Any] = [None, 5, True, "x", [], ["tools"], {}, {"status_list": 5}]
    good = (("sub", "x"), ("sub", 5), ("sub", True), ("token_use", None))
    for name in ("scope", "status", "sub", "aud", "iss", "exp", "token_use"):
        for value in odd:
            if (name, value) not in good:
                bad = issuer.token(**{name: value})
                assert status(await ask(proxy, bad)) >= 400, (name, value)
    assert raw.seen == []


async def test_attack_a09_a_subject_that_no_header_can_hold_does_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    for subject in ("a\r\nx-forwarded-groups: root", "a\nb", "a b", "\u00fcber", "", None):
        assert status(await ask(proxy, issuer.token(sub=subject))) in (401, 403), subject
    assert raw.seen == []


async def test_attack_d08_the_backend_reads_the_subject_that_the_token_names(
    proxy: Proxy, kind: str, issuer: Issuer, raw: RawBackend
) -> None:
    """Escaped as the gateway does it, so that no user's name reads as another's."""
    subjects = ["x|y", "a%b", "a%%b", "a%25b", "%", "%41"]
    if kind == "haproxy":  # its script lets none with a percent sign through
        subjects, refused = subjects[:1], subjects[1:]
        for subject in refused:
            assert status(await ask(proxy, issuer.token(sub=subject))) == 403, subject
    for subject in subjects:
        assert status(await ask(proxy, issuer.token(sub=subject))) == 200, subject
    users = [dict(scope["headers"])[b"x-forwarded-user"].decode() for scope in raw.seen]
    assert users == [subject.replace("%", "%25") for subject in subjects]


async def test_rules_by_scope(proxy: Proxy, issuer: Issuer, raw: RawBackend) -> None:
    plain, admin = issuer.token(), issuer.token(scope="tools admin")
    for scope in ("", "tool", "toolsx", "xtools", "admin", "to ols", "tools-x x-tools"):
        assert status(await ask(proxy, issuer.token(scope=scope))) == 403, scope
    refused = await ask(proxy, plain, method="DELETE")
    assert status(refused) == 403
    assert b'insufficient_scope", scope="tools admin"' in refused
    assert raw.seen == []
    assert status(await ask(proxy, admin, method="DELETE")) == 200
    assert status(await ask(proxy, plain, method="delete")) >= 400
    assert [scope["method"] for scope in raw.seen] == ["DELETE"]


async def test_attack_e04_the_backend_hears_nothing_that_the_client_claims(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    claims = [
        "X-Forwarded-User: root", "X_Forwarded_User: root", "X-Forwarded-Email: root",
        "X-Forwarded-Groups: root", "X-Identity-Token: root", "Remote-User: root",
        "X-Remote-User: root", "X-Forwarded.User: root", "Forwarded: for=root",
        "X-HTTP-Method-Override: root", "X-Original-URL: /root", "Cookie: root=1",
    ]  # fmt: skip
    for line in claims:
        await ask(proxy, issuer.token(), line)
    assert raw.seen
    for scope in raw.seen:
        users = [value for name, value in scope["headers"] if name == b"x-forwarded-user"]
        assert users == [b"alice"]
        assert b"root" not in b"".join(value for _, value in scope["headers"])


async def test_attack_e02_paths_that_have_two_readings_do_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    token = issuer.token()
    for path in (
        "/mcp//x", "//mcp/x", "/mcp/../mcp/x", "/mcp/./x", "/mcp/%2e%2e/x", "/mcp/%78", "/mcp%2fx",
        "/mcp/..;/x", "/mcp/x%00", "/mcp/x\\..", "/mcpx", "/MCP/x", "/mcp/.", "/other",
    ):  # fmt: skip
        answer = status(await ask(proxy, token, target=path))
        # Envoy resolves dots and "\\" before anything looks at the path, and delivers it so.
        assert 400 <= answer < 500 or raw.seen.pop()["raw_path"] in (b"/mcp/x", b"/mcp/")
    assert raw.seen == []
    for path in ("/mcp", "/mcp/", "/mcp/x?a=/../%00"):
        assert status(await ask(proxy, token, target=path)) == 200, path


async def test_attack_b04_pages_of_other_sites_do_not_pass(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    token = issuer.token()
    for origin in ("https://evil.example", "null", "http://localhost.evil.example",
                   "http://localhost@evil.example", "https://127.0.0.1.evil"):  # fmt: skip
        assert status(await ask(proxy, token, f"Origin: {origin}")) == 403, origin
    assert raw.seen == []
    for origin in ("http://localhost:6274", issuer.url):
        assert status(await ask(proxy, token, f"Origin: {origin}")) == 200


async def test_attack_a09_two_tokens_are_not_one(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    good, bad = issuer.token(), issuer.token(exp=1)
    for first, second in ((good, bad), (bad, good), (good, good)):
        answer = await ask(proxy, first, f"Authorization: Bearer {second}")
        assert 400 <= status(answer) < 500
    assert 400 <= status(await ask(proxy, f"{good}, Bearer {good}")) < 500
    assert raw.seen == []


async def test_attack_c07_an_ended_login_is_refused_within_five_seconds(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    token, other = (
        issuer.token(),
        issuer.token(status={"status_list": {"idx": 8, "uri": "x"}}, sub="bob"),
    )
    assert status(await ask(proxy, token)) == 200
    issuer.ended.add(7)
    began = time.monotonic()
    await proxy.renew()
    async with asyncio.timeout(20):
        while status(await ask(proxy, token)) == 200:
            await asyncio.sleep(0.1)
    assert time.monotonic() - began < 3  # and two until the program looks
    assert status(await ask(proxy, token)) == 401
    assert status(await ask(proxy, other)) == 200
    for idx in (8 * 1024, 2**40, -1, None):
        odd = {"status_list": {"idx": idx, "uri": "x"}}
        assert status(await ask(proxy, issuer.token(status=odd))) == 401, idx


async def test_attack_d11_a_list_that_is_over_is_an_outage_and_no_refusal(
    proxy: Proxy, issuer: Issuer, raw: RawBackend
) -> None:
    issuer.list_seconds = 1
    await proxy.renew()
    await asyncio.sleep(2.2)  # the proxies have no clock but the machine's
    answer = await ask(proxy, issuer.token())
    assert status(answer) == 503
    assert b"retry-after" in answer.lower()
    assert b"www-authenticate" not in answer.lower()
    issuer.list_seconds = 60
    await proxy.renew()
    async with asyncio.timeout(10):
        while status(await ask(proxy, issuer.token())) != 200:
            await asyncio.sleep(0.2)


async def test_a_new_key_is_known_and_a_removed_one_is_not(
    proxy: Proxy, kind: str, issuer: Issuer, raw: RawBackend
) -> None:
    """Rotation: the new key is added, then signs, then the old one goes."""
    if kind == "haproxy":
        pytest.skip("HAProxy reads keys at its start: see the next test")
    old, new = issuer.keys[0], es256()
    issuer.list_seconds = 600  # the program's clock is moved, and the proxy's is not
    before = issuer.token(key=old)
    assert status(await ask(proxy, before)) == 200
    issuer.keys = [old, new]
    await proxy.renew(at=time.time() + 31)
    if kind == "envoy":
        pytest.skip("Envoy fetches keys by itself, every half a minute")
    assert status(await ask(proxy, issuer.token(key=new))) == 200
    issuer.keys = [new]
    await proxy.renew(at=time.time() + 62)
    async with asyncio.timeout(10):
        while status(await ask(proxy, before)) == 200:
            await asyncio.sleep(0.2)
    assert status(await ask(proxy, issuer.token(key=new))) == 200


async def test_haproxy_knows_the_keys_of_its_start(
    issuer: Issuer, raw: RawBackend, tmp_path: Path
) -> None:
    """As after ``systemctl reload``: both keys are good, and then only the new one is."""
    old, new = issuer.keys[0], es256()
    for number, keys, good, bad in (
        (1, [old, new], [old, new], []),
        (2, [new], [new], [old]),
        (3, [new, old], [new, old], [es256()]),
    ):
        issuer.keys = keys
        directory = tmp_path / str(number)
        directory.mkdir()
        async with verifying("haproxy", directory, issuer, raw.port) as proxy:
            for key in good:
                assert status(await ask(proxy, issuer.token(key=key))) == 200
            for key in bad:
                assert status(await ask(proxy, issuer.token(key=key))) == 401
