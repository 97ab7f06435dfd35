"""Looking inside a running model: what it computes on the way, and what follows when that is changed."""
