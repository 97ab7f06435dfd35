"""The command line: one small file per subcommand, parsing only."""
