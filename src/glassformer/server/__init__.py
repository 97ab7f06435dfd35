"""HTTP: the pages, and what they are served from. Needs the extra `serve`."""
