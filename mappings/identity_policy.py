"""Schema of the identity policy: keys that link, and the fitted model for what no key decides."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mappings.schema import Header, Strict


class Weights(Strict):
    """A logistic model in whole numbers: millionths of a logit, for a feature of one (see mappings/evidence.py)."""

    intercept: int
    coefficients: dict[str, int]


class MatchModel(Strict):
    """The fitted scorer of pairs. Thresholds are thousandths of a logit: 0 is even chances, 2,197 is nine in ten."""

    version: str
    fitted_on: str  # what the decisions were, and where they come from
    decisions: int = Field(ge=0)  # pairs that were labelled
    groups: int = Field(ge=0)  # states, each held out whole in cross-validation
    figures: dict[str, float]  # cross-validated, as fractions of one
    auto: int  # linked from here on
    review: int  # shown to a person from here on
    duplicate: int  # two CRM records are one organisation from here on
    largest_block: int = Field(ge=1)  # pairs above which a block of candidates is dropped whole
    first: Weights  # a pair by itself
    second: Weights  # a pair among its rivals
    same_record: Weights  # two CRM records
    words: dict[str, int]  # how telling a common word of a name is, in thousandths; a word not listed tells most


class IdentityPolicy(Strict):
    """Which keys may link records, strongest first, and the model for the rest. An ambiguous key never links."""

    policy: Header
    keys: tuple[Literal["definitive_id", "npi", "ccn", "domain", "name_zip", "name_phone", "system_place"], ...]
    model: MatchModel | None = None  # none = keys only
