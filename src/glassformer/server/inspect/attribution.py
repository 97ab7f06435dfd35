"""Which parts of the model speak for one token against another."""

from __future__ import annotations

from typing import Any

from glassformer.introspect.attribution import NAMES, logit_attribution
from glassformer.introspect.results import plain
from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session

KEYS = ("run", "position", "token", "against", "unit")
MOST_NEURONS = 60  # of all of them, those that are sent


def attribution(session: Session, asked: Asked) -> dict[str, Any]:
    """What each part adds to the difference of the logits of `token` and `against` after a position.

    The units of every layer, [n_layer, units], in full but for neurons; `best` names the greatest, the parts that are
    no units among them; the sum of all parts and the remainder is the difference.
    """
    run, last = session.runs.find(asked.string("run", 40)), session.model.config.vocab_size - 1
    token, against = asked.integer("token", 0, last), asked.integer("against", 0, last)
    unit = asked.choice("unit", tuple(NAMES), "head")
    position = asked.integer("position", 0, len(run.ids) - 1)
    found = logit_attribution(run.cache, token, against, unit=unit, positions=position)
    values, rest = found.values[..., 0], zip(found.rest_names, found.rest[:, 0].tolist(), strict=True)
    return {
        "unit": unit,
        "coordinates": found.coordinates,
        "difference": float(found.logits[0]),
        "sum": float(values.sum() + found.rest[:, 0].sum()),
        "remainder": float(found.remainder[0]),
        "values": None if unit == "neuron" else plain(values),
        "best": [{"name": name, "value": value} for name, value in found.best(MOST_NEURONS, 0)],
        "rest": [{"name": name, "value": value} for name, value in rest],
    }
