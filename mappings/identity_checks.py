"""What the fitted model of the identity policy must satisfy: features that exist, thresholds in order."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.evidence import PAIR_FEATURES, RIVAL_FEATURES
from mappings.expressions import near
from mappings.identity_policy import MatchModel
from mappings.located import Document, MappingProblem

_PARTS: dict[str, tuple[str, ...]] = {
    "first": PAIR_FEATURES,
    "second": (*PAIR_FEATURES, *RIVAL_FEATURES),
    "same_record": PAIR_FEATURES,
}


def check_model(document: Document, model: MatchModel) -> Iterator[MappingProblem]:
    """Known features only, and a review band below what is linked."""
    for part, names in _PARTS.items():
        for name in getattr(model, part).coefficients:
            if name not in names:
                fact = f"unknown feature {name!r}; docs/identity.md lists them"
                yield document.problem(("model", part, "coefficients", name), fact, near(name, names))
    if model.review > model.auto:
        fact = f"review is {model.review}, above auto ({model.auto}); a pair is shown below what is linked"
        yield document.problem(("model", "review"), fact)
