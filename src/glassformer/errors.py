"""The root of every error that Glassformer raises on purpose."""


class GlassformerError(Exception):
    """Something that the caller gave, or the machine refused, in one message that says what to do about it."""
