"""What every room that speaks HTTP shares: the edge, forms, cookies, CORS and limits."""
