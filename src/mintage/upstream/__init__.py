"""What Mintage asks the identity provider: one preset of data for each known provider."""

from mintage.extras import needs

needs("server")
