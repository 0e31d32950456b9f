"""Keys from secrets (HKDF, PBKDF2), and sealing with them (AES-GCM)."""
