"""What one run of the command line carries from its flags to its end."""

from dataclasses import dataclass


@dataclass
class Session:
    """Switches that any command may set, before or after its name."""

    debug: bool = False
    quiet: bool = False
