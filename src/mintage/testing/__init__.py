"""For tests of what you build with Mintage: clock, client, browser, provider, store suite.

Import from the modules: `clock`, `oauth_client`, `browser`, `fake_upstream`, `nanoidp` (a real
provider; needs the package ``nanoidp``), `store_suite` (needs ``pytest``), `serving`.
"""

from mintage.extras import needs

needs("server")
