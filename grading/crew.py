"""Grading processes side by side: each grades one submission after another, and when one dies the others go on."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from multiprocessing.connection import wait

# Fresh processes, since a fork of one with threads may hang, and Windows has no fork.
CONTEXT = multiprocessing.get_context("spawn")
POLITE = 10  # seconds that a process has to end its kernel and to clean up before it is killed


class CannotStart(ValueError):
    """A grading process ended before it was ready; the message is for the teacher."""


def run(jobs, start, size, patience):
    """Yield (job, result, problem) of every job as it ends; result is None where problem, in words, says why.

    start: a function of a module, called once in each of the `size` processes; it returns a context manager whose value
    is a function of a job. patience: seconds after which a process that is still on one job is killed.
    Raises CannotStart; ends its processes when it is closed, and they end by themselves when this one is killed.
    """
    waiting = deque(jobs)
    crew = [_Worker(start) for _ in range(min(size, len(waiting)))]
    try:
        while any(worker.job is not None or not worker.ready for worker in crew) or waiting:
            for worker in _with_news(crew):
                job, result, problem = worker.news()
                if job is not None:
                    yield job, result, problem
                if worker.gone:
                    crew.remove(worker)
                    if waiting:
                        crew.append(_Worker(start))
                elif waiting:
                    worker.give(waiting.popleft(), patience)
    finally:
        for worker in crew:
            worker.ask_to_end()
        for worker in crew:
            worker.end()


def _with_news(crew):
    """The workers that said something, died, or are out of time."""
    heard = wait([worker.connection for worker in crew], timeout=1)
    return [worker for worker in crew if worker.connection in heard or worker.is_late()]


class _Worker:
    def __init__(self, start):
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_work, args=(theirs, start), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.job, self.ready, self.gone, self.deadline = None, False, False, None

    def give(self, job, patience):
        self.job, self.deadline = job, time.monotonic() + patience
        with contextlib.suppress(OSError):  # it died meanwhile: news() finds that out
            self.connection.send(job)

    def is_late(self):
        return self.job is not None and time.monotonic() > self.deadline

    def news(self):
        """(job, result, problem) when one has ended, else three times None."""
        job, self.job = self.job, None
        try:
            if job is not None and not self.connection.poll():
                raise TimeoutError
            message = self.connection.recv()
        except TimeoutError:
            self.end(kill=True)
            return job, None, "the process that graded it did not come to an end"
        except (EOFError, OSError):
            self.end()
            if not self.ready:
                raise CannotStart(f"a grading process ended before it began ({self._how()})") from None
            return job, None, f"the process that graded it ended ({self._how()})"
        if not self.ready:
            if message is not None:
                self.end()
                raise CannotStart(message)
            self.ready = True
            return None, None, None
        return job, *message

    def _how(self):
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def ask_to_end(self):
        if self.process.is_alive():
            self.process.terminate()

    def end(self, kill=False):
        self.gone = True
        self.process.join(0 if kill else POLITE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


def _work(connection, start):
    """The life of one process."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches all: the first process decides what it means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with start() as do:
            connection.send(None)
            while True:
                job = connection.recv()
                try:
                    done = do(job), None
                except Exception as error:
                    # By its name alone: its words may hold a whole notebook, hidden tests included.
                    done = None, f"the grader itself failed on it ({type(error).__name__})"
                connection.send(done)
    except ValueError as problem:
        connection.send(str(problem))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass


def _stop(*_):
    raise KeyboardInterrupt


def _end_with_parent():
    """End this process when the one that started it is gone, so that nothing grades on behind a teacher's back."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(POLITE)
    os._exit(1)
