"""Writes docs/interventions.schema.json from the classes: `python tools/make_intervention_schema.py`."""

import json
from pathlib import Path

from glassformer.introspect.schema import schema

PAGE = Path(__file__).parent.parent / "docs" / "interventions.schema.json"

if __name__ == "__main__":
    PAGE.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf8")
