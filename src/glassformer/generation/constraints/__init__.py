"""Texts that a continuation is held to: patterns, choices, JSON; compiled to automata over bytes, applied as masks."""
