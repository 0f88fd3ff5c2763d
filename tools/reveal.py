"""reveal.js for the slides: fetched once, as the wheel that Sphinx's slides bring it in, since pip is here and npm may not be.

`python -m tools.reveal` fetches it. The slides hold a copy of their own, so that a classroom needs no network.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEEL = "sphinx-revealjs==3.2.1"  # MIT; carries reveal.js 5, MIT too. Sphinx itself is not needed.
FOLDER = ROOT / "slides" / "reveal"
INSIDE = Path("sphinx_revealjs/_static/revealjs")


def fetch(folder: Path = FOLDER) -> Path:
    """The folder of reveal.js below `folder`, after fetching it where it is missing.

    Raises SystemExit in words where it cannot be fetched.
    """
    place = folder / INSIDE
    if not (place / "dist" / "reveal.js").exists():
        print(f"Fetching reveal.js, once: 2 MB ({WHEEL})", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*command, "--target", str(folder), WHEEL])
        if done.returncode:
            raise SystemExit("reveal.js could not be fetched: making slides for the first time needs the network")
    return place


if __name__ == "__main__":
    fetch()
