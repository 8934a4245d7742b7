"""Submits that are sent again: refused only where it is certain that they were not stored the first time."""

from __future__ import annotations

import pytest
from desk_bench import OWNER, DeskBench
from jobyard.protocol import messages as m
from jobyard.protocol.codec import pack_arguments
from jobyard.protocol.errors import HistoryUnavailable, OutcomeUnknown, WrongState
from jobyard.supervisor.doubt import doubted

LATE = "f" * 12  # of a uid: later than all that was ever pruned


def submit(uid: str, ref: str = "jobs:add", resent: bool = True) -> m.Submit:
    return m.Submit([m.Submission(uid, ref, pack_arguments((1,), {}), 1, resent=resent)])


def code(bench: DeskBench, request: m.Submit) -> str:
    answer = bench.ask(request)
    return str(answer["error"]["code"]) if "error" in answer else "ok"


@pytest.mark.parametrize("resent", [False, True])
def test_one_too_many_before_its_turn_is_refused_or_in_doubt(resent: bool) -> None:
    bench = DeskBench(connection_requests=1)
    for number in range(2):
        bench.feed(m.pack_request(str(number), submit(LATE + f"{number:020x}", resent=resent)), OWNER, b"%d" % number)
    answers = {answer["id"]: answer for _, answer in bench.turn()}
    assert "ok" in answers["0"]
    assert answers["1"]["error"]["code"] == ("outcome_unknown" if resent else "rate_limited")


@pytest.mark.parametrize("resent", [False, True])
def test_one_too_many_under_way_is_refused_or_in_doubt(resent: bool) -> None:
    bench = DeskBench(connection_requests=0)
    bench.feed(m.pack_request("1", submit(LATE + "1" * 20, resent=resent)))
    bench.front._waiting_max = lambda: 1
    ((_, answer),) = bench.turn()
    assert answer["error"]["code"] == ("outcome_unknown" if resent else "rate_limited")


def test_full_disk_says_nothing_of_what_was_stored_before() -> None:
    bench = DeskBench()
    bench.low_space = True
    assert code(bench, submit(LATE + "1" * 20, resent=False)) == "storage_unavailable"
    assert code(bench, submit(LATE + "1" * 20)) == "outcome_unknown"


def test_what_the_config_does_not_allow_any_more_was_stored_if_it_is_there() -> None:
    bench = DeskBench()
    uid = LATE + "1" * 20
    assert code(bench, submit(uid, resent=False)) == "ok"
    assert code(bench, submit(uid, ref="jobs:gone")) == "outcome_unknown"
    assert code(bench, submit(uid, ref="jobs:gone", resent=False)) == "not_allowed", "nobody has sent it before"
    assert code(bench, submit(LATE + "2" * 20, ref="jobs:gone")) == "not_allowed", "it is not there"
    assert code(bench, submit("no uid", ref="jobs:gone")) == "bad_request"


def test_what_the_config_does_not_allow_any_more_may_have_been_pruned() -> None:
    bench = DeskBench()
    bench.machine.state.pruned_until = 10.0
    assert code(bench, submit("0" * 32, ref="jobs:gone")) == "outcome_unknown"


def test_error_that_stays_is_told_as_it_is() -> None:
    with pytest.raises(WrongState), doubted(resent=True):
        raise WrongState("no")


def test_history_that_refuses_leaves_what_is_sent_again_in_doubt() -> None:
    with pytest.raises(HistoryUnavailable), doubted(resent=False):
        raise HistoryUnavailable("later")
    why = "sent before, and whether it was stored then cannot be told now: later"
    with pytest.raises(OutcomeUnknown, match=why), doubted(resent=True):
        raise HistoryUnavailable("later")
