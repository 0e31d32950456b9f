"""Google: offline access by parameters of its own."""

from typing import Final

from mintage.upstream.preset import Preset, Quirks

PRESET: Final = Preset(
    name="google",
    title="Google",
    public={},
    issuer="https://accounts.google.com",
    scopes=("openid", "email", "profile", "offline_access"),
    quirks=Quirks(
        # A refresh token comes with the first consent only, unless consent is asked for again.
        offline={"access_type": "offline", "prompt": "consent"},
        prompts={
            "none": "none",
            "consent": "consent",
            "select_account": "select_account",
            "login": "select_account",
        },
        max_age=False,
        replaces_tokens=False,
        issuer_aliases=("accounts.google.com",),
    ),
)
