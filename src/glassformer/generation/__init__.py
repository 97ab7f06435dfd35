"""From logits to tokens to text."""
