"""grades.csv, for a spreadsheet."""

import csv
import io
import re

from grading.files import replace

# A formula, also in the wide letters of East Asian keyboards; a spreadsheet that splits at ";" finds a cell behind each.
FORMULA = re.compile(r"(^|;)(\s*)([=+\-@\uff1d\uff0b\uff0d\uff20])")
COLUMNS = ("student", "exercise", "points", "maximum", "flags", "seconds")


def write(grades, path):
    """One row a submission, in the order given; the file is replaced as a whole."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for grade in grades:
        flags = "; ".join(grade.flags)
        numbers = [f"{number:g}" for number in (grade.points, grade.maximum)]
        rows.writerow([harmless(grade.student), harmless(grade.exercise), *numbers, harmless(flags), grade.seconds])
    replace(path, text.getvalue())


def harmless(text):
    """Text that no spreadsheet takes for a formula, and that no terminal takes for a command."""
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return FORMULA.sub(r"\1\2'\3", text)
