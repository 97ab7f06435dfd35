"""Weight formats: bytes to named arrays and back; nothing here knows a model."""
