"""A search that is killed, continued and shared: no ticket lost, none run twice, in SQLite and in PostgreSQL."""

import subprocess
import sys

import optuna
import pytest
from postgres_server import server

from course_lib.search import open_study, outcomes, plan, work

# A worker writes a line before and after each ticket: what it did is counted in its file, not taken from the database.
# At the ticket `stuck_at` it waits for a word.
WORKER = """
import sys
from course_lib.search import open_study, work
url, name, journal, stuck_at = sys.argv[1], sys.argv[2], open(sys.argv[3], "a"), int(sys.argv[4])
def say(*words):
    print(*words, file=journal, flush=True)
def objective(trial):
    ticket, x = trial.user_attrs["ticket"], trial.suggest_float("x", 0.0, 1.0)
    say("began", ticket, x)
    if ticket == stuck_at:
        sys.stdin.readline()
    say("ended", ticket, x)
    return x
study = open_study(url, name)
say("ready", 0, 0)
sys.stdin.readline()
work(study, objective)
"""


class Worker:
    """A worker process, which begins when it is told to, and the lines that it writes."""

    def __init__(self, folder, url, name, stuck_at=-1):
        self.journal = folder / f"{len(list(folder.iterdir()))}.txt"
        self.journal.touch()
        command = [sys.executable, "-W", "error", "-c", WORKER, url, name, str(self.journal), str(stuck_at)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def lines(self, word):
        """(ticket, x) of every line that begins with the word."""
        rows = [line.split() for line in self.journal.read_text().splitlines()]
        return [(int(ticket), float(x)) for kind, ticket, x in rows if kind == word]

    def until(self, line):
        while line not in self.journal.read_text():
            try:
                self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(self.process.stderr.read())

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def join(self):
        _, errors = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, errors

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def postgresql():
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system("postgresql"))])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path / 'search.db'}" if request.param == "sqlite" else request.getfixturevalue("postgresql")


GRID = [{"x": i / 16} for i in range(12)]


@pytest.fixture
def start(tmp_path, url, request):
    """Starts workers on the study that is named as the test, and ends them when it is over."""
    folder, started = tmp_path / "journals", []
    folder.mkdir()

    def start(**stuck):
        started.append(Worker(folder, url, request.node.name, **stuck))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


def test_killed_continued_and_shared(start, url, request):
    study = open_study(url, request.node.name)
    assert plan(study, GRID) == 12
    doomed, patient, third = start(stuck_at=2), start(stuck_at=5), start()
    doomed.until("ready"), doomed.go(), doomed.until("began 2 ")
    patient.until("ready"), patient.go(), patient.until("began 5 ")
    assert plan(study, GRID) == 0, "both workers live"
    doomed.kill()
    assert [trial.state.name for trial in outcomes(study).values()][:7] == [
        *("COMPLETE", "COMPLETE", "RUNNING", "COMPLETE", "COMPLETE", "RUNNING", "WAITING")
    ]
    assert plan(study, GRID) == 1, "the dead worker's ticket is put back, the other is not"
    assert plan(study, GRID) == 0
    third.until("ready"), third.go(), patient.go()
    patient.join(), third.join()
    expected = [(number, ticket["x"]) for number, ticket in enumerate(GRID)]
    ended = [line for worker in (doomed, patient, third) for line in worker.lines("ended")]
    began = [line for worker in (doomed, patient, third) for line in worker.lines("began")]
    assert sorted(ended) == expected, "each ticket ended once"
    assert sorted(began) == sorted([*expected, (2, GRID[2]["x"])]), "none but the killed one began twice"
    held = outcomes(open_study(url, request.node.name))
    assert {number: trial.value for number, trial in held.items()} == dict(expected)
    assert {trial.state.name for trial in held.values()} == {"COMPLETE"}
    assert plan(study, GRID) == 0 and work(study, len) == 0


def test_workers_that_run_at_the_same_moment_never_take_one_ticket_twice(start, url, request):
    """Without the lock that begins each SQLite transaction, some of these tickets are taken twice."""
    study = open_study(url, request.node.name)
    plan(study, [{"x": i / 128} for i in range(24)])
    pair = [start(), start()]
    for worker in pair:
        worker.until("ready")
    for worker in pair:
        worker.go()
    for worker in pair:
        worker.join()
    assert sorted(number for worker in pair for number, _ in worker.lines("began")) == list(range(24))
    surplus = [trial for trial in study.trials if "ticket" not in trial.user_attrs]
    assert len(surplus) < 2 and all(trial.state.name == "FAIL" for trial in surplus)


@pytest.fixture
def study(tmp_path):
    return open_study(f"sqlite:///{tmp_path / 'search.db'}", "study")


def test_a_planner_that_was_cut_short_is_called_again(study):
    assert plan(study, GRID[:7]) == 7
    assert plan(study, GRID) == 5


def test_the_sampler_fills_what_a_ticket_leaves_open(study):
    plan(study, [{"x": 0.5}, {}, {}])
    assert work(study, lambda trial: trial.suggest_float("x", 0.0, 1.0) + trial.suggest_int("n", 1, 3)) == 3
    assert outcomes(study)[0].params["x"] == 0.5
    assert all(0 <= trial.params["x"] <= 1 for trial in outcomes(study).values())


def test_a_ticket_that_was_lost_keeps_what_the_sampler_chose(study):
    plan(study, [{}])

    def interrupted(trial):
        interrupted.chose = trial.suggest_float("x", 0.0, 1.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(study, interrupted)
    assert plan(study, [{}]) == 1
    work(study, lambda trial: trial.suggest_float("x", 0.0, 1.0))
    assert study.best_value == interrupted.chose


def test_an_error_ends_the_worker_and_is_kept_until_the_next_plan(study):
    plan(study, GRID[:3])
    with pytest.raises(ZeroDivisionError):
        work(study, lambda trial: 1 / 0)
    failed = outcomes(study)[0]
    assert failed.state.name == "FAIL" and failed.user_attrs["error"] == "ZeroDivisionError: division by zero"
    assert plan(study, GRID[:3]) == 1
    assert work(study, lambda trial: trial.suggest_float("x", 0.0, 1.0), most=2) == 2
    assert work(study, lambda trial: trial.suggest_float("x", 0.0, 1.0)) == 1
    assert [trial.value for trial in outcomes(study).values()] == [ticket["x"] for ticket in GRID[:3]]


def test_pruned_tickets_are_done(tmp_path):
    pruner = optuna.pruners.ThresholdPruner(lower=0.3)
    study = open_study(f"sqlite:///{tmp_path / 'a.db'}", "pruned", pruner=pruner)
    plan(study, GRID[:8])

    def objective(trial):
        trial.report(trial.suggest_float("x", 0.0, 1.0), 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return trial.params["x"]

    assert work(study, objective) == 8
    assert [trial.state.name for trial in outcomes(study).values()].count("PRUNED") == 5
    assert plan(study, GRID[:8]) == 0


def test_the_default_prunes_nothing(study):
    assert isinstance(study.pruner, optuna.pruners.NopPruner)


def test_a_worker_on_another_host_is_taken_for_alive_until_it_is_named_as_lost(study):
    plan(study, GRID[:1])
    study.set_user_attr("worker far.example 1 0.5", True)
    study.ask().set_user_attr("worker", "worker far.example 1 0.5")
    assert plan(study, GRID[:1]) == 0
    assert plan(study, GRID[:1], lost_hosts=["far.example"]) == 1


def test_a_ticket_that_nobody_signed_waits_until_no_worker_is_left(study):
    plan(study, GRID[:1])
    study.set_user_attr("worker far.example 1 0.5", True)
    study.ask()  # and killed before the signature
    assert plan(study, GRID[:1]) == 0
    assert plan(study, GRID[:1], lost_hosts=["far.example"]) == 1


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda study, url: open_study("", "a"), ValueError, "url: '' is not allowed"),
        (lambda study, url: open_study("a.db", "a"), ValueError, "url: 'a.db' is not allowed"),
        (lambda study, url: open_study(url, 3), ValueError, "name: 3 is not allowed"),
        (lambda study, url: open_study(url, "a", direction="up"), ValueError, "direction: 'up' is not allowed"),
        (lambda study, url: open_study(url, "study", direction="minimize"), ValueError, "is there already, to maximize"),
        (lambda study, url: plan(study, [3]), TypeError, r"tickets\[0\]: 3 is not allowed"),
        (lambda study, url: plan(study, [{"x": [1]}]), TypeError, r"tickets\[0\]: 'x': \[1\] is not allowed"),
        (lambda study, url: plan(study, [{"x": 1.0}, {"x": 2.0}]), ValueError, r"tickets\[1\]: .*was planned"),
        (lambda study, url: work(study, None), TypeError, "objective: NoneType is not allowed"),
        (lambda study, url: work(study, len, most=0), ValueError, "most: 0 is not allowed"),
    ],
)
def test_bad_input_is_refused_in_words(study, tmp_path, call, error, words):
    plan(study, [{"x": 1.0}, {"x": 1.0}])
    with pytest.raises(error, match=words):
        call(study, f"sqlite:///{tmp_path / 'search.db'}")
    assert len(study.trials) == 2
