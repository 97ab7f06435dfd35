"""How the embedded story model was made: a grammar of little stories, the training, and the count of names."""
