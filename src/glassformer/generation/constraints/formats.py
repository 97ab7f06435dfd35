"""The formats of strings that can be asked for, as regular expressions; each allows a part of what the format does."""

from __future__ import annotations

YEAR = r"[12]\d{3}"
LEAP_YEAR = r"(?:[12]\d(?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)"
LONG_MONTH = r"(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
SHORT_MONTH = r"(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
FEBRUARY = r"02-(?:0[1-9]|1\d|2[0-8])"
# RFC 3339: years 1000 to 2999, and only days that there are.
DATE = rf"(?:{YEAR}-(?:{LONG_MONTH}|{SHORT_MONTH}|{FEBRUARY})|{LEAP_YEAR}-02-29)"
HOURS = r"(?:[01]\d|2[0-3]):[0-5]\d"
TIME = rf"{HOURS}:[0-5]\d(?:\.\d{{1,6}})?(?:Z|[+-]{HOURS})"
BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
WORD = r"[A-Za-z0-9_+-]{1,32}"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"

FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"{WORD}(?:\.{WORD}){{0,3}}@{LABEL}(?:\.{LABEL}){{0,3}}\.[A-Za-z]{{2,10}}",
    "ipv4": rf"{BYTE}(?:\.{BYTE}){{3}}",
}
