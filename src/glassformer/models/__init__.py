"""Architectures, one per file; the file name is the `model_type` of config.json."""
