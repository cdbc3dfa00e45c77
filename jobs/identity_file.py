"""Writes the identity policy as YAML that a person can read and compare: one block a part, in a fixed order."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import yaml

from mappings.identity_policy import IdentityPolicy, MatchModel, Weights

_WIDTH = 116
_HEAD = """\
# Which keys may link a CRM record and a feed firm, strongest first. A key that fits two candidates never links.
# What no key decides is scored by the model below: whole numbers, fitted by `platbook identity fit`. docs/identity.md
# says how it works and what a coefficient means; thresholds are thousandths of a logit.
"""


def as_yaml(policy: IdentityPolicy) -> str:
    """The file `policies/identity.yaml` of a policy."""
    head = policy.policy
    lines = [
        f"policy: {{id: {head.id}, version: {head.version}, owner: {_text(head.owner)}, "
        f"effective_from: {head.effective_from}}}",
        f"keys: [{', '.join(policy.keys)}]",
    ]
    return _HEAD + "\n".join([*lines, *(_model(policy.model) if policy.model else [])]) + "\n"


def _model(model: MatchModel) -> list[str]:
    return [
        "model:",
        f"  version: {_text(model.version)}",
        f"  fitted_on: {_text(model.fitted_on)}",
        f"  decisions: {model.decisions}",
        f"  groups: {model.groups}  # states, each held out whole",
        *_block("figures", model.figures, 2),
        f"  auto: {model.auto}  # linked from here on",
        f"  review: {model.review}  # shown to a person from here on",
        f"  duplicate: {model.duplicate}  # two CRM records are one organisation from here on",
        f"  largest_block: {model.largest_block}",
        *_weights("first", model.first),
        *_weights("second", model.second),
        *_weights("same_record", model.same_record),
        *_block("words", model.words, 2),
    ]


def _weights(name: str, weights: Weights) -> list[str]:
    return [f"  {name}:", f"    intercept: {weights.intercept}", *_block("coefficients", weights.coefficients, 4)]


def _block(name: str, values: Mapping[str, float], indent: int) -> list[str]:
    pad = " " * indent
    inside = ", ".join(f"{_text(key)}: {value}" for key, value in values.items())
    wrapped = textwrap.wrap(inside, _WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False)
    return [f"{pad}{name}:", f"{pad}  {{", *(f"{pad}    {line}" for line in wrapped), f"{pad}  }}"]


def _text(value: str) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).split("\n", 1)[0]
