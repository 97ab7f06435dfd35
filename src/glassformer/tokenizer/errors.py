"""The tokenizer's error."""

from glassformer.errors import GlassformerError


class TokenizerError(GlassformerError):
    """A vocabulary that cannot be used, or text or ids that it does not cover."""
