"""What `launch` starts: torch's elastic launcher, which starts the ranks, and ends with the process that has started it.

Run by its path, and not as a module of the package, which would load torch first: on Linux two processes load it at once.
"""

import json
import os
import sys
from multiprocessing import forkserver, set_forkserver_preload
from pathlib import Path


def main(options: list[str]) -> None:
    """Run the launcher; leave in a file the exit codes of ranks that failed; of forked ones, only the first is known."""
    if "--start-method=forkserver" in options:  # a process that has loaded torch: each rank begins as its copy
        # torch's optimizers load torch._dynamo, for nearly as long as torch itself: better once than in every rank
        set_forkserver_preload(["torch.distributed.run", "torch._dynamo", "course_lib.distributed.rank"])
        forkserver.ensure_running()
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    from course_lib.distributed import processes, rank

    def end():
        processes.sweep(os.environ[processes.LAUNCH])
        os._exit(1)

    processes.end_with(os.getppid(), end, sys.stdin.fileno())
    try:
        run(parse_args(options))
    except ChildFailedError as error:
        codes = {number: failure.exitcode for number, failure in error.failures.items()}
        rank.write(Path(os.environ[rank.FOLDER]) / "codes.json", lambda path: path.write_text(json.dumps(codes)))
        os._exit(1)
    os._exit(0)  # nothing is left to do, and torch takes half a second to be taken down


if __name__ == "__main__":
    main(sys.argv[1:])
