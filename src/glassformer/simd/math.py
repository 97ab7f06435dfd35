"""exp and friends; filled in below."""
__all__: list[str] = []
