"""How grading writes its files."""

import os


def replace(path, text):
    """Write a file as a whole, so that no reader meets half of it, and no kill leaves it."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)
    os.replace(part, path)
