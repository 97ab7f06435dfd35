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
GROUP, FURTHER = "[0-9a-f]{1,4}", "(?::[0-9a-f]{1,4})"
# RFC 4291: eight groups, or fewer with a gap of at least two.
IPV6 = "|".join(
    [rf"{GROUP}{FURTHER}{{7}}", rf"::(?:{GROUP}{FURTHER}{{0,5}})?"]
    + [rf"{GROUP}{FURTHER}{{{n}}}::(?:{GROUP}{FURTHER}{{0,{4 - n}}})?" for n in range(5)]
    + [rf"{GROUP}{FURTHER}{{5}}::"]
)
# RFC 1123: words of less than 64 characters, 253 in all; here with single hyphens, and a letter begins the last.
LABEL = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,20}"
HOSTNAME = rf"(?:{LABEL}\.){{0,4}}[A-Za-z](?:-?[A-Za-z0-9]){{0,20}}"
WORD = r"[A-Za-z0-9_+-]{1,15}"  # of the name in an address, which has 64 characters at most (RFC 5321)
COUNT = r"(?:0|[1-9]\d{0,5})"
MINUTES = rf"{COUNT}M(?:{COUNT}S)?"
CLOCK = rf"T(?:{COUNT}H(?:{MINUTES})?|{MINUTES}|{COUNT}S)"
MONTHS = rf"{COUNT}M(?:{COUNT}D)?"
# RFC 3339, appendix A: no unit is left out between two others.
DURATION = rf"P(?:{COUNT}W|(?:{COUNT}Y(?:{MONTHS})?|{MONTHS}|{COUNT}D)(?:{CLOCK})?|{CLOCK})"

FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"{WORD}(?:\.{WORD}){{0,3}}@{LABEL}(?:\.{LABEL}){{0,3}}\.[A-Za-z]{{2,10}}",
    "ipv4": rf"{BYTE}(?:\.{BYTE}){{3}}",
    "ipv6": IPV6,
    "hostname": HOSTNAME,
    "duration": DURATION,
}
