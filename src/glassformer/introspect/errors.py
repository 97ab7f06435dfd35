"""Errors of looking inside."""

from glassformer.errors import GlassformerError


class IntrospectionError(GlassformerError):
    """What was asked for cannot be captured or changed in this model."""
