"""A search for hyper-parameters as a queue of tickets in a database: it outlives its workers, and many may share it.

`plan` writes the tickets, `work` takes one after another; both may be killed at any moment and called again. An Optuna
study holds the queue, in SQLite or, by another URL, in PostgreSQL.
"""

import os
import socket
from collections.abc import Callable, Iterable, Mapping

TICKET, PLANNED, WORKER, ERROR = "ticket", "planned", "worker", "error"  # user attributes of a trial
DIRECTIONS = ("maximize", "minimize")
LOCK_SECONDS = 60  # how long a process waits for SQLite's lock before it gives up


def open_study(url: str, name: str, *, direction: str = "maximize", sampler=None, pruner=None):
    """Open the study `name` in the database at `url`, or create it there; return Optuna's Study.

    `url`: "sqlite:////a/file.db" or "postgresql+psycopg://user:password@host/database". `sampler`: one of Optuna's, for
    tickets that leave a value open (default: TPE). `pruner`: default NopPruner, which stops no trial; Optuna's own default
    would. Optuna's messages show from warnings on.

    Raises ValueError for bad input, and for a study that is there already in the other direction.
    """
    import optuna

    _check_text("url", url)
    _check_text("name", name)
    if "://" not in url:
        raise ValueError(f"url: {url!r} is not allowed; it is that of a database, for instance sqlite:////a/file.db")
    if direction not in DIRECTIONS:
        raise ValueError(f"direction: {direction!r} is not allowed; it is one of {', '.join(DIRECTIONS)}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=_storage(url),
        direction=direction,
        sampler=sampler,
        pruner=optuna.pruners.NopPruner() if pruner is None else pruner,
        load_if_exists=True,
    )
    stored = study.direction.name.lower()
    if stored != direction:
        raise ValueError(f"direction: {direction!r} is not allowed; the study {name!r} is there already, to {stored}")
    return study


def plan(study, tickets: Iterable[Mapping], *, lost_hosts: Iterable[str] = ()) -> int:
    """See to it that each ticket is done, under way or waiting; return how many were put into the queue.

    Ticket i holds values by name: all of them for a grid or a random search, none ({}) where the sampler shall choose. A
    ticket whose worker died, or that ended in an error, is put back with the values it had; one that is done is left
    alone. So this starts a search and continues one: give the same tickets again, or the same and more.

    One process plans at a time; workers may be at work meanwhile. Whether a worker is alive can be seen on its own host
    only: name hosts that are gone in `lost_hosts`. Raises ValueError, and queues nothing, for a ticket that differs from
    the one planned before; TypeError for what is no ticket.
    """
    tickets = [_checked_ticket(number, ticket) for number, ticket in enumerate(tickets)]
    held = outcomes(study)
    for number, trial in held.items():
        if number < len(tickets) and trial.user_attrs[PLANNED] != tickets[number]:
            raise ValueError(f"tickets[{number}]: {tickets[number]} is not allowed; {trial.user_attrs[PLANNED]} was planned")
    away = set(lost_hosts)
    busy = any(_is_alive(worker, away) for worker in study.user_attrs)
    queued = 0
    for number, ticket in enumerate(tickets):
        trial = held.get(number)
        state = "NONE" if trial is None else trial.state.name
        if state == "RUNNING" and not (_is_alive(trial.user_attrs[WORKER], away) if WORKER in trial.user_attrs else busy):
            study.tell(trial.number, state=type(trial.state).FAIL)
            state = "FAIL"
        if state in ("NONE", "FAIL"):
            values = ticket if trial is None else {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            study.enqueue_trial(values, user_attrs={TICKET: number, PLANNED: ticket})
            queued += 1
    return queued


def work(study, objective: Callable, *, most: int | None = None) -> int:
    """Take waiting tickets until none is left (or `most` were taken), run `objective(trial)`; return how many ran.

    `objective` is as Optuna has it: it asks the trial for values, may report to it and raise TrialPruned, and returns a
    number. An exception ends the worker and leaves its text with the ticket; that, an interrupt or a kill leave the
    ticket to the next `plan`. Raises TypeError or ValueError for bad input.
    """
    import optuna

    if not callable(objective):
        raise TypeError(f"objective: {type(objective).__name__} is not allowed; it is a function of a trial")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ValueError(f"most: {most!r} is not allowed; it is None or a whole number from 1 on")
    state = optuna.trial.TrialState
    me = _me()
    study.set_user_attr(me, True)  # before the first ticket: `plan` must know who may hold one that is not signed yet
    ran = 0
    while ran != most and study.get_trials(deepcopy=False, states=(state.WAITING,)):
        trial = study.ask()
        if TICKET not in trial.user_attrs:  # another worker was quicker to take the last ticket
            study.tell(trial, state=state.FAIL)
            break
        trial.set_user_attr(WORKER, me)
        _run(study, trial, objective)
        ran += 1
    return ran


def outcomes(study) -> dict:
    """{ticket: its present FrozenTrial}, in the order of the tickets: of one that was put back, the trial that counts."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if TICKET in trial.user_attrs]  # oldest first
    return dict(sorted({trial.user_attrs[TICKET]: trial for trial in trials}.items()))


def _run(study, trial, objective: Callable) -> None:
    import optuna

    try:
        value = objective(trial)
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except BaseException as error:
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise
    else:
        study.tell(trial, value)


def _storage(url: str):
    """Optuna's storage. In SQLite its transactions begin with the lock.

    Optuna takes a ticket by reading its state, then writing it, under a row lock that SQLite does not have: two workers
    could both read "waiting". The recipe is SQLAlchemy's, in its notes on the SQLite dialect.
    """
    import optuna
    from sqlalchemy import event
    from sqlalchemy.pool import NullPool

    options = {"poolclass": NullPool}  # a connection for each transaction: none is left open, none outlives its server
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": LOCK_SECONDS}
    storage = _first_or_second(lambda: optuna.storages.RDBStorage(url, engine_kwargs=options))
    if url.startswith("sqlite"):
        event.listen(storage.engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage


def _first_or_second(make: Callable, attempts: int = 20):
    """Call `make` again where another process has just created the table that it wanted to create."""
    from sqlalchemy.exc import DBAPIError

    for attempt in range(attempts):
        try:
            return make()
        except DBAPIError as error:
            if "already exists" not in str(error) or attempt == attempts - 1:
                raise


def _me() -> str:
    """This process, by host, number and birth: a number alone is given to another process later."""
    import psutil

    return f"{WORKER} {socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def _is_alive(worker: str, away: set[str]) -> bool:
    """Whether the process that signed as `worker` is at work still; on another host it is, unless the host is `away`."""
    import psutil

    kind, *who = worker.split(" ")
    if kind != WORKER:
        return False  # an attribute of the study that is none of ours
    host, number, birth = who
    if host in away:
        return False
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(number))
        return process.create_time() == float(birth) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: {value!r} is not allowed; it is a text that is not empty")


def _checked_ticket(number: int, ticket: object) -> dict:
    if not isinstance(ticket, Mapping):
        raise TypeError(f"tickets[{number}]: {ticket!r} is not allowed; it is a dictionary from names to values")
    for name, value in ticket.items():
        if not isinstance(name, str) or not isinstance(value, bool | int | float | str | None):
            raise TypeError(f"tickets[{number}]: {name!r}: {value!r} is not allowed; it is a name and a text or number")
    return dict(ticket)
