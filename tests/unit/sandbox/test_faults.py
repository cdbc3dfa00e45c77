"""Faults strike the requests they name, as often as they say, and repeat with the seed."""

from __future__ import annotations

import pytest

from sandbox.faults import Fault, FaultBook, Verb


def _struck(book: FaultBook, times: int, path: str = "/services/data/v62.0/query") -> list[bool]:
    return [bool(book.draw("salesforce", "GET", path)) for _ in range(times)]


def test_a_fault_strikes_once_unless_told():
    book = FaultBook()
    book.add(Fault(verb=Verb.STATUS))
    assert _struck(book, 3) == [True, False, False]


def test_without_end_means_every_time():
    book = FaultBook()
    book.add(Fault(verb=Verb.STATUS, times=0))
    assert all(_struck(book, 5))


def test_the_nth_is_counted_among_matching_requests_only():
    book = FaultBook()
    book.add(Fault(verb=Verb.STATUS, route="query$", nth=2))
    assert _struck(book, 3, "/limits") == [False] * 3
    assert _struck(book, 3) == [False, True, False]


def test_system_method_and_route_narrow_a_fault():
    fault = Fault(verb=Verb.SLOW, system="hubspot", method="post", route="batch/update")
    assert fault.covers("hubspot", "POST", "/crm/v3/objects/companies/batch/update")
    assert not fault.covers("salesforce", "POST", "/crm/v3/objects/companies/batch/update")
    assert not fault.covers("hubspot", "GET", "/crm/v3/objects/companies/batch/update")
    assert not fault.covers("hubspot", "POST", "/crm/v3/objects/companies/batch/read")


def test_chance_repeats_with_the_seed():
    def run(seed: int) -> list[bool]:
        book = FaultBook(seed)
        book.add(Fault(verb=Verb.STATUS, probability=0.3, times=0))
        return _struck(book, 200)

    assert run(1) == run(1) != run(2)
    assert 30 < sum(run(1)) < 90  # 60 expected


def test_cleared_faults_do_not_strike():
    book = FaultBook()
    book.add(Fault(verb=Verb.STATUS, times=0))
    book.clear()
    assert _struck(book, 2) == [False, False]


def test_an_impossible_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        Fault(verb=Verb.STATUS, probability=1.5)


def test_a_further_rule_does_not_change_what_an_older_one_draws():
    def run(*, with_another: bool) -> list[bool]:
        book = FaultBook(5)
        book.add(Fault(verb=Verb.STATUS, probability=0.5, times=0))
        if with_another:
            book.add(Fault(verb=Verb.SLOW, probability=0.5, times=0))
        drawn = [book.draw("salesforce", "GET", "/x") for _ in range(60)]
        return [any(fault.verb is Verb.STATUS for fault in faults) for faults in drawn]

    assert run(with_another=False) == run(with_another=True)
