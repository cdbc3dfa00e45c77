"""R71: a rule that changed under its old version is found, with file and line, and stays found when it was used."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.policies import USED, note_policies, policy_differences, version_faults, version_problems
from jobs.settings import Settings
from jobs.wiring import Wired

SHIPPED = Path(__file__).parents[3] / "mappings/policies"
AS_OF = "2026-01-15"


class Home:
    """An installation whose policies are edited between two runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "own").mkdir()

    def write(self, name: str, *changes: tuple[str, str]) -> None:
        """Our own copy of a shipped policy, with texts replaced."""
        text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self.folder / "own" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def wired(self) -> Wired:
        url = f"sqlite:///{self.folder / 'state.db'}"
        settings = Settings(_env_file=None, database_url=url, mappings_dir=self.folder / "own")  # type: ignore[call-arg]  # pydantic-settings' own keyword
        return Wired(settings=settings)

    def faults(self) -> list[str]:
        wired = self.wired()
        try:
            return [str(one) for one in version_faults(wired, AS_OF)]
        finally:
            wired.database.close()

    def used(self) -> None:
        """What a plan does with the policies of today."""
        wired = self.wired()
        note_policies(wired)
        wired.database.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    wired = made.wired()
    wired.database.migrate()
    wired.database.close()
    made.used()
    return made


WEIGHT = ("    weight: 40\n", "    weight: 45\n")
OTHER = ("    weight: 25\n", "    weight: 20\n")


def test_R71_a_rule_changed_under_its_version_is_found_with_file_line_change_and_remedy(home: Home) -> None:
    assert home.faults() == []
    home.write("scores", WEIGHT, OTHER)
    (told,) = home.faults()
    assert told.startswith("scores.yaml:4: scores says something else than when version 2 was used first (")
    assert "dimensions.behavior.weight was 25 and is 20 and 1 more" in told
    assert told.endswith("; write version 3")


def test_R71_it_stays_found_after_a_plan_used_it_until_the_version_goes_up(home: Home) -> None:
    home.write("scores", WEIGHT, OTHER)
    home.used()
    assert len(home.faults()) == 1
    home.write("scores", WEIGHT, OTHER, ("version: 2", "version: 3"))
    assert home.faults() == []
    home.used()
    home.write("scores")
    (told,) = home.faults()
    assert told.endswith("scores is version 2, and version 3 was used already; write version 4")


def test_R71_a_segment_has_a_version_and_a_line_of_its_own(home: Home) -> None:
    home.write("segments", ("One team sells to the whole system", "Keep them"))
    (told,) = home.faults()
    assert told.startswith("segments.yaml:")
    assert "segments/strategic-systems says something else" in told
    line = int(told.split(":")[1])
    text = (home.folder / "own/segments.yaml").read_text(encoding="utf-8").splitlines()
    assert "version: 1" in text[line - 1]


def test_R71_comments_and_people_need_no_new_version_but_a_rule_beside_them_does(home: Home) -> None:
    home.write("scores", ("\ndimensions:", "\n# a remark\ndimensions:"))
    home.write("reps", ("reps: []", "reps: [{email: a@x.example, name: A, role: GEO}]"))
    assert home.faults() == []
    home.write("reps", ("ramp_capacity_bp: 5000", "ramp_capacity_bp: 4000"))
    (told,) = home.faults()
    assert "ramp_capacity_bp was 5000 and is 4000" in told


def test_R71_a_knob_that_came_with_a_new_release_is_no_change_of_the_file(home: Home) -> None:
    wired = home.wired()
    with wired.database.state() as conn:
        conn.exec_driver_sql(
            "UPDATE policy_version SET digest = 'older', content = json_remove(content, '$.comparable_by') "
            "WHERE policy = 'kpis'"
        )
    assert version_faults(wired, AS_OF) == ()
    assert policy_differences(wired, USED) == ()
    wired.database.close()


def test_a_policy_whose_first_day_is_to_come_is_named_and_is_a_problem_of_the_plan(home: Home) -> None:
    home.write("kpis", ("effective_from: 2020-01-01", "effective_from: 2026-01-16"))
    (told,) = home.faults()
    assert told.startswith("kpis.yaml:2: kpis is in force from 2026-01-16 and would be used on 2026-01-15")
    wired = home.wired()
    (problem,) = version_problems(wired, AS_OF)
    assert (problem.code, problem.severity, problem.refs) == ("POLICY-VERSION", "review", ("kpis.yaml:2",))
    assert version_problems(wired, "2026-01-16") == ()
    wired.database.close()
