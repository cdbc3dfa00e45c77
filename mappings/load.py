"""Reads the packaged YAML and a customer's overlay; the only module of this folder that opens files.

A file of the overlay replaces the packaged one of the same name, whole. Policies may lie in `policies/` or at the top
of the overlay. Every problem of every file is reported at once.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mappings import insight_checks
from mappings.expressions import near
from mappings.lane_checks import check_lanes
from mappings.located import Document, MappingProblem, read
from mappings.map_checks import check_crm, check_feed
from mappings.models import validate
from mappings.policy import ConflictPolicy, Mappings, Policies, RegulationFile, RepPolicy
from mappings.policy_checks import (
    CHECKS,
    check_header,
    check_hierarchy,
    check_people,
    check_regulation,
    check_successors,
    check_survivorship,
    check_tier_words,
)
from mappings.routing_checks import check_lead_people
from mappings.schema import CrmMap, FeedLayout
from mappings.successors import read_successors
from mappings.versions import LISTS

CRM_FILES = ("salesforce.yaml", "hubspot.yaml")
REGULATION_FILE = "regulation.yaml"
PLACES_FILE = "data/zcta_centroids.csv.gz"
_MAX_BYTES = 4 << 20
_FILE_DIGITS = 16


class MappingError(Exception):
    """Field maps, layouts or policies that cannot be used. `problems` holds every one, in order of file and line."""

    def __init__(self, problems: tuple[MappingProblem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"the mappings have {count}; nothing is read or written until the files are corrected:\n{lines}"
        )
        self.problems = problems


def load(overlay: Path | None = None) -> Mappings:
    """Everything the YAML files say, checked. Raises MappingError with every problem."""
    reading = _Reading()
    texts = _packaged()
    if overlay is not None:
        _overlay(overlay, texts, reading.problems)
    reading.overlay = overlay
    mappings = reading.everything(texts)
    if reading.problems or mappings is None:
        raise MappingError(tuple(sorted(set(reading.problems), key=lambda p: (p.file, p.line, p.fact))))
    return mappings


def version_places(overlay: Path | None = None) -> dict[str, tuple[str, int]]:
    """Where the version of every policy and segment stands: name as in mappings/versions.py -> file, line."""
    texts = _packaged()
    written = _overlay(overlay, texts, []) if overlay is not None else {}
    found: dict[str, tuple[str, int]] = {}
    for name in Policies.model_fields:
        file = f"policies/{name}.yaml"
        document = read(texts[file], written.get(file, file))
        found[name] = (document.file, document.line(("policy", "version")))
        listed = document.data.get("segments") if name == "segments" and isinstance(document.data, dict) else None
        for index, segment in enumerate(listed or ()):
            place = (document.file, document.line(("segments", index, "version")))
            found[f"segments/{segment.get('id')}"] = place
    return found


@cache
def read_places() -> dict[str, tuple[int, int]]:
    """ZIP tabulation areas: code -> latitude and longitude in ten-thousandths of a degree. Source: Census gazetteer."""
    text = gzip.decompress((files("mappings") / PLACES_FILE).read_bytes()).decode("ascii")
    rows = csv.DictReader(text.splitlines())
    return {row["zcta"]: (_ten_thousandths(row["lat"]), _ten_thousandths(row["lon"])) for row in rows}


def _ten_thousandths(degrees: str) -> int:
    return round(float(degrees) * 10_000)


def _packaged() -> dict[str, str]:
    """Name within the folder -> text, of every YAML file that ships."""
    root = files("mappings")
    found = {name: root / name for name in (*CRM_FILES, REGULATION_FILE)}
    for folder in ("feeds", "policies"):
        found |= {f"{folder}/{item.name}": item for item in _yaml_files(root / folder)}
    return {name: item.read_text(encoding="utf-8") for name, item in found.items()}


def _yaml_files(folder: Traversable) -> list[Traversable]:
    return sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)


def _overlay(folder: Path, texts: dict[str, str], problems: list[MappingProblem]) -> dict[str, str]:
    """Lay the customer's files over the packaged ones; packaged name -> name of the file that replaces it."""
    taken: dict[str, str] = {}
    if not folder.is_dir():
        problems.append(_unplaced(str(folder), "the overlay folder does not exist; create it or correct the setting"))
        return taken
    for path in _listed(folder, problems):
        written = path.relative_to(folder).as_posix()
        name = _placed(written, texts, problems)
        if name is None:
            continue
        if name in taken:
            problems.append(_unplaced(written, f"{taken[name]} replaces {name} already; keep one of them"))
            continue
        taken[name] = written
        text = _text(path, written, problems)
        if text is not None:
            texts[name] = text
    return taken


def _listed(folder: Path, problems: list[MappingProblem]) -> list[Path]:
    """YAML files below the folder. One that cannot be looked into is a problem: the shipped rules must not step in."""

    def unread(exc: OSError) -> None:
        fact = f"the folder cannot be read ({exc.strerror}); make it readable for this user"
        problems.append(_unplaced(str(exc.filename), fact))

    found = os.walk(folder, onerror=unread)
    return sorted(Path(place, name) for place, _, names in found for name in names if fnmatch(name, "*.y*ml"))


def _placed(written: str, texts: dict[str, str], problems: list[MappingProblem]) -> str | None:
    """Name of the packaged file that an overlay file replaces; a feed may be new. None = nowhere to go."""
    for name in (written, f"policies/{written}"):
        if name in texts:
            return name
    if written.startswith("feeds/") and written.count("/") == 1 and written.endswith(".yaml"):
        return written
    fact = "no file of this name is read; expected one of " + ", ".join(sorted(texts)) + " or a new feeds/NAME.yaml"
    problems.append(_unplaced(written, fact, near(written, [*texts, *(n.split("/")[-1] for n in texts)])))
    return None


def _text(path: Path, written: str, problems: list[MappingProblem]) -> str | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            problems.append(_unplaced(written, f"the file is larger than {_MAX_BYTES} bytes"))
            return None
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        problems.append(_unplaced(written, f"the file is not UTF-8 (byte {exc.start + 1}); save it as UTF-8"))
    except OSError as exc:
        problems.append(_unplaced(written, f"the file cannot be read ({exc.strerror or type(exc).__name__})"))
    return None


def _unplaced(file: str, fact: str, suggestion: str = "") -> MappingProblem:
    return MappingProblem(file=file, line=1, fact=fact, suggestion=suggestion)


class _Reading:
    """Collects what can be read and all that cannot."""

    def __init__(self) -> None:
        self.problems: list[MappingProblem] = []
        self.overlay: Path | None = None
        self._documents: dict[str, Document] = {}

    def everything(self, texts: dict[str, str]) -> Mappings | None:
        """All files as one value, or None when a file is not even of the right shape."""
        crms = [self._model(name, texts[name], CrmMap) for name in CRM_FILES]
        feeds = {
            name: self._model(name, texts[name], FeedLayout) for name in sorted(texts) if name.startswith("feeds/")
        }
        regulation = self._model(REGULATION_FILE, texts[REGULATION_FILE], RegulationFile)
        policies = {
            name: self._model(f"policies/{name}.yaml", texts[f"policies/{name}.yaml"], field.annotation)
            for name, field in Policies.model_fields.items()
        }
        self.problems += self._checked(crms, feeds, policies, regulation)
        policies["conflicts"] = self._with_successors(policies["conflicts"], policies["reps"])
        if None in crms or None in feeds.values() or None in policies.values() or regulation is None:
            return None
        content = {
            "crms": {crm.kind: crm for crm in crms if crm is not None},
            "feeds": {feed.feed: feed for feed in feeds.values() if feed is not None},
            "policies": Policies(**policies),
            "regulation": regulation.states,
            "medicaid_expansion": regulation.medicaid_expansion,
            "nurse_practice": regulation.nurse_practice,
            "con_by_facility": regulation.by_facility,
            "regulation_checked_on": regulation.checked_on,
            "law_checked": dict(regulation.checked),
        }
        places = read_places()
        rules = {**content, "policies": _without_lists(content["policies"])}
        said = dict(zip(CRM_FILES, crms, strict=True)) | feeds | {REGULATION_FILE: regulation}
        said |= {f"policies/{name}.yaml": policy for name, policy in policies.items()}
        return Mappings(
            **content,
            places=places,
            digest=_digest({**content, "places": sorted(places.items())}),
            rules_digest=_digest(rules),
            file_digests={name: _digest({"says": one})[:_FILE_DIGITS] for name, one in sorted(said.items())},
        )

    def _with_successors(self, conflicts: ConflictPolicy | None, reps: RepPolicy | None) -> ConflictPolicy | None:
        """The policy with the rows of the list that it names."""
        owner = conflicts.fields.get("owner") if conflicts else None
        if conflicts is None or owner is None or not owner.successor_map:
            return conflicts
        places = [self.overlay / folder / owner.successor_map for folder in ("policies", "")] if self.overlay else []
        path = next((one for one in places if one.is_file()), None)
        if path is None or self.overlay is None:
            place = ("fields", "owner", "successor_map")
            fact = f"{owner.successor_map} is not in the folder of your mappings, nor in its policies folder"
            self.problems.append(self._policy("conflicts").problem(place, fact))
            return conflicts
        written = path.relative_to(self.overlay).as_posix()
        rows, problems = read_successors(_text(path, written, self.problems) or "", written)
        self.problems += [*problems, *check_successors(rows, reps)]
        return conflicts.model_copy(update={"successors": rows})

    def _model(self, name: str, text: str, model: Any) -> Any:
        document = self._documents[name] = read(text, name)
        self.problems += document.problems
        if document.problems:  # what is left of a damaged file would only give misleading problems
            return None
        value, problems = validate(document, model)
        self.problems += problems
        return value

    def _checked(
        self, crms: list[Any], feeds: dict[str, Any], policies: dict[str, Any], regulation: RegulationFile | None
    ) -> Iterator[MappingProblem]:
        for name, crm in zip(CRM_FILES, crms, strict=True):
            yield from check_crm(self._documents[name], crm) if crm else ()
        for name, layout in feeds.items():
            yield from check_feed(self._documents[name], layout) if layout else ()
        if regulation:
            yield from check_regulation(self._documents[REGULATION_FILE], regulation)
        for name, policy in policies.items():
            if policy:
                yield from check_header(self._policy(name), policy)
                check = {**CHECKS, **insight_checks.CHECKS}.get(name)
                yield from check(self._policy(name), policy) if check else ()
        yield from self._cross_checked(crms, feeds, policies)

    def _cross_checked(
        self, crms: list[Any], feeds: dict[str, Any], policies: dict[str, Any]
    ) -> Iterator[MappingProblem]:
        """Names that one file takes from another; skipped where the other cannot be read."""
        if all(feeds.values()) and all(crms):
            sources = frozenset({"steward", *(c.kind for c in crms), *(f.feed for f in feeds.values())})
            for name, check in (("survivorship", check_survivorship), ("hierarchy", check_hierarchy)):
                yield from check(self._policy(name), policies[name], sources) if policies[name] else ()
        if policies["territories"] and policies["reps"]:
            yield from check_people(self._policy("territories"), policies["territories"], policies["reps"])
        if policies["leads"] and policies["reps"]:
            yield from check_lead_people(self._policy("leads"), policies["leads"], policies["reps"])
        if policies["routing"] and policies["tiers"]:
            yield from check_tier_words(self._policy("routing"), policies["routing"], policies["tiers"])
        if policies["conflicts"]:
            for name, crm in zip(CRM_FILES, crms, strict=True):
                yield from check_lanes(self._documents[name], crm, policies["conflicts"]) if crm else ()

    def _policy(self, name: str) -> Document:
        return self._documents[f"policies/{name}.yaml"]


def _without_lists(policies: Policies) -> dict[str, Any]:
    """What the policies say without their headers and their lists of people and places."""
    told = policies.model_dump(mode="json")
    told["conflicts"].pop("successors")
    return {
        name: {key: value for key, value in said.items() if key != "policy" and key not in LISTS.get(name, ())}
        for name, said in told.items()
    }


def _digest(content: dict[str, Any]) -> str:
    """Names this exact content: sha256 over canonical JSON."""

    def plain(value: object) -> object:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    text = json.dumps(content, default=plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
