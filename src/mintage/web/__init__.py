"""What all packages that speak HTTP share: the edge, forms, cookies, CORS and limits."""
