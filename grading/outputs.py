"""What a cell shows, gathered from a kernel's messages and cut to a size: only valid outputs of a notebook get through."""

import nbformat
from nbformat.v4 import new_output, output_from_msg

SHOWN = ("stream", "display_data", "execute_result", "error")
KINDS = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg"}  # nothing that runs by itself


class Outputs:
    """The outputs of one cell; `limit` is how many characters of them are kept, as they are stored in the notebook."""

    def __init__(self, limit):
        self._left = limit
        self._limit = limit
        self._found = []
        self._lost = ""

    def add(self, message):
        """Take one message of the kernel's; what is no output, or more than the limit, is dropped."""
        kind = message.get("msg_type")
        if kind not in SHOWN or self._lost:
            return
        try:
            output = output_from_msg({"header": {"msg_type": kind}, "content": message["content"]})
            if "data" in output:
                output.data = {key: value for key, value in output.data.items() if key in KINDS}
                output.metadata = {}
            size = len(nbformat.writes(nbformat.v4.new_notebook(cells=[_cell([output])])).encode())
            if not nbformat.validator.isvalid(_cell([output]), ref="code_cell", version=4, version_minor=5):
                return
        except Exception:  # whatever the kernel made up: no shape of a message may stop the grading
            return
        if size > self._left:
            self.lost(f"more than {self._limit:,} characters")
            return
        self._left -= size
        last = self._found[-1] if self._found else None
        if kind == "stream" and last and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            self._found.append(output)

    @property
    def size(self):
        """Characters that are kept."""
        return self._limit - self._left

    def lost(self, why):
        """Note that some of what the cell showed is missing, and why."""
        self._lost = self._lost or why

    def all(self):
        """The outputs, and a last one that says what is missing."""
        if not self._lost:
            return self._found
        return [*self._found, new_output("stream", name="stderr", text=f"\n[output left out: {self._lost}]\n")]


def _cell(outputs):
    return nbformat.v4.new_code_cell(outputs=outputs, id="a")
