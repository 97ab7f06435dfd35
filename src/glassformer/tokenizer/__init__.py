"""Text to token ids and back: GPT-2's byte-level byte-pair encoding.

In the order in which text travels: `pretokenize` cuts it into words, `bpe` (the readable twin) or `fast` (the same on
compiled kernels) turns each word's bytes into ids by the tables of `vocabulary`, `stream` turns ids back into text as
they come. `tokenizer.Tokenizer` is the public face.
"""
