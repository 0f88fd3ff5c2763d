"""`make strip`: take out of the notebooks every output but those of keep_output cells, and what front ends leave."""

import sys
from pathlib import Path

import nbformat
from nbstripout import strip_output

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
# What JupyterLab and kernels leave behind. GitHub cannot render a notebook with widget state, and the kernel's version
# would change the file with each contributor.
NOISE = ["metadata.widgets", "metadata.language_info"]
NOISE += [f"cell.metadata.{key}" for key in ("collapsed", "ExecuteTime", "execution", "jupyter", "scrolled")]


def write_stripped(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook to `path` with its ids, its counts, the outputs of its keep_output cells, and no more."""
    nbformat.write(strip_output(notebook, keep_output=False, keep_count=True, keep_id=True, extra_keys=NOISE), path)


if __name__ == "__main__":
    for path in [Path(argument) for argument in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        write_stripped(nbformat.read(path, as_version=4), path)
