"""The endpoints of the page that looks inside, one noun to a file."""
