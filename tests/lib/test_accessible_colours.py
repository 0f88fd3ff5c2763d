"""Colours that can be read and told apart: contrast, computed; the palette as colour-blind eyes see it; never colour alone."""

import ast
import functools
import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import is_color_like, to_rgba
from matplotlib.text import Text

from course_lib import explore, records
from course_lib.explore import palette, simulated
from course_lib.explore.plane import LESSONS as ON_THE_PLANE
from course_lib.ledger import pages as ledger_pages
from course_lib.schedules import Task, play
from grading import pages as grading_pages
from tools import hygiene
from tools.slides import TEMPLATE

TEXT, GRAPHICS = 4.5, 3.0  # WCAG 2.2, level AA: success criteria 1.4.3 and 1.4.11
APART = 15.0  # CIE 1976 units of colour difference; about 2 is the least that an eye can see, side by side

# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15 (2009): their matrices of full severity, for linear RGB.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def linear(colour, background="white"):
    """Linear RGB of a colour of matplotlib, over its background where it is transparent."""
    *rgb, alpha = to_rgba(colour)
    seen = alpha * np.array(rgb) + (1 - alpha) * np.array(to_rgba(background)[:3])
    return np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)


def contrast(colour, background="white"):
    """WCAG's ratio of luminances, 1 to 21."""
    low, high = sorted(
        float(np.dot([0.2126, 0.7152, 0.0722], each)) for each in (linear(colour, background), linear(background))
    )
    return (high + 0.05) / (low + 0.05)


def difference(one, other, eye):
    """The CIE 1976 difference of two colours as an eye sees them."""

    def lab(colour):
        seen = TO_XYZ @ np.clip(np.array(EYES[eye]) @ linear(colour), 0, 1) / [0.95047, 1, 1.08883]
        x, y, z = np.where(seen > (6 / 29) ** 3, np.cbrt(seen), seen / (3 * (6 / 29) ** 2) + 4 / 29)
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    return float(np.linalg.norm(lab(one) - lab(other)))


def test_the_measures_give_the_known_values():
    assert contrast("black") == pytest.approx(21) and contrast("#767676") == pytest.approx(4.54, abs=0.01)
    assert difference("white", "black", "all cones") == pytest.approx(100, abs=0.1)
    assert difference("#FF0000", "#7A6A00", "deuteranopia") < difference("#FF0000", "#7A6A00", "all cones") / 4


PALETTE = {name: value for name, value in vars(palette).items() if name.isupper()} | {"BLACK": "black"}


@pytest.mark.parametrize("eye", EYES)
def test_every_eye_tells_the_palette_apart(eye):
    apart = {pair: difference(*(PALETTE[name] for name in pair), eye) for pair in itertools.combinations(PALETTE, 2)}
    assert {pair: round(value, 1) for pair, value in apart.items() if value < APART} == {}


def test_the_palette_stands_out_from_white():
    assert {name: contrast(colour) for name, colour in PALETTE.items() if contrast(colour) < GRAPHICS} == {}
    assert contrast(palette.GREY) >= TEXT
    assert {name: getattr(explore, name) for name in PALETTE if name != "BLACK"} | {"BLACK": "black"} == PALETTE


def is_band(line):
    """The pale band under a Pareto front, whose points have a cross besides."""
    return line.get_alpha() is not None and line.get_alpha() < 0.2


def faint(picture):
    """What of a drawn picture has too little contrast: texts, lines, marks, bars. Grids and filled bands only repeat others."""
    picture.canvas.draw()
    found = []
    texts = [text for axes in picture.axes for text in axes.findobj(Text)]
    found += [t.get_text() for t in [*texts, *picture.texts] if t.get_text().strip() and contrast(t.get_color()) < TEXT]
    for axes in picture.axes:
        for line in axes.lines:
            colour = to_rgba(line.get_color(), line.get_alpha())
            if not is_band(line) and max(contrast(colour), contrast(to_rgba(line.get_markeredgecolor()))) < GRAPHICS:
                found.append(line)
        for patch in axes.patches:
            if max(contrast(patch.get_facecolor()), contrast(patch.get_edgecolor())) < GRAPHICS:
                found.append(patch)
        for lines in axes.collections:
            found += [lines for colour in lines.get_edgecolor() if contrast(colour) < GRAPHICS]
    return found


@functools.cache
def kept_calls():
    """(lesson, name of the function, its literal arguments) of each plain figure that the lessons keep."""
    found = []
    for path in hygiene.notebooks():
        for cell in hygiene.read(path)["cells"]:
            if cell["cell_type"] != "code" or "_figure(" not in "".join(cell["source"]):
                continue
            for call in ast.walk(ast.parse("".join(cell["source"]))):
                name = call.func.attr if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""
                if name in ("tradeoff_figure", "plane_figure"):
                    literal = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
                    found.append((path.stem, name, literal))
    return found


@pytest.fixture(params=range(len(kept_calls())), ids=lambda index: "-".join(kept_calls()[index][:2]))
def real_figure(request, tmp_path, monkeypatch):
    """A figure of a lesson, drawn from the shipped records as if they were the learner's, beside the same as reference."""
    lesson, name, arguments = kept_calls()[request.param]
    monkeypatch.setenv("COURSE_RECORDS", str(tmp_path))
    lessons = (lesson,) if name == "tradeoff_figure" else ON_THE_PLANE
    mine = [result for result in next(iter(records.references().values())) if result.lesson in lessons]
    if not mine:
        pytest.skip(f"{lesson} is not recorded yet")
    for result in mine:
        records.my_store().append(result)
    return explore.tradeoff_figure(lesson, **arguments) if name == "tradeoff_figure" else explore.plane_figure(**arguments)


def test_the_lessons_figures_have_contrast_words_and_more_than_colour(real_figure):
    assert faint(real_figure) == []
    assert len(real_figure.alt) > 40
    [axes] = real_figure.axes
    looks, colours_of = {}, {}
    for line in axes.lines:
        if not len(line.get_xdata()) or not line.get_visible() or line.get_animated() or is_band(line):
            continue
        look = (str(line.get_marker()), line.get_linestyle(), str(line._unscaled_dash_pattern), line.get_fillstyle())
        filled = to_rgba(line.get_markerfacecolor()) != to_rgba("white")
        colours_of.setdefault((*look, filled), set()).add(to_rgba(line.get_color()))
        if len(line.get_xdata()) > 1 and line.get_linestyle() != "None":
            looks[(*look, filled)] = looks.get((*look, filled), 0) + 1
    assert {look: colours for look, colours in colours_of.items() if len(colours) > 1} == {}
    assert {look: count for look, count in looks.items() if count > 1} == {}, "two series of one look"


def test_simulated_pictures_have_contrast():
    timeline = play({"rank 0": [Task("F1", 1.0), Task("B1", 2.0, needs=("F1",))]})
    assert faint(explore.timeline_figure({"one": timeline})) == []
    bowl = explore.paths_figure(
        {"SGD": np.array([[1.0, 1.0], [0.5, 0.5]])}, lambda x, y: x**2 + y**2, x=(-1, 1), y=(-1, 1), captions={"SGD": "2 steps"}
    )
    assert faint(bowl) == []
    assert {contrast("black", shade) >= TEXT for shade in simulated.SHADES.values()} == {True}
    assert len(set(simulated.HATCHES.values())) == len(simulated.HATCHES) == len(simulated.SHADES)


def test_predictions_and_messages_have_contrast():
    message = explore.Picture(5, 3)
    message.message("Nothing yet.")
    assert faint(explore.prediction_figure(2.0, 3.0, unit="x")) == [] == faint(message)
    assert message.alt == "Nothing yet."


STYLES = {
    "pages of grading": grading_pages.STYLE,
    "ledger": ledger_pages.STYLE,
    "slides": (TEMPLATE / "slides.css").read_text(encoding="utf-8"),
}


@pytest.mark.parametrize("name", STYLES)
def test_pages_have_contrast(name):
    """In each rule of the styles: text on its own background or the page's, and lines between cells."""
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", STYLES[name]):
        rule = dict(re.findall(r"([\w-]+)\s*:\s*([^;]+)", body))
        ground = next(iter(re.findall(r"#[0-9a-fA-F]{3,6}\b", rule.get("background", ""))), "#ffffff")
        if "color" in rule:
            assert contrast(rule["color"], ground) >= TEXT, selector
        assert contrast("#1a1a1a", ground) >= TEXT, selector
        for property_, value in rule.items():
            for colour in re.findall(r"#[0-9a-fA-F]{3,6}\b", value):
                if property_.startswith(("border", "outline")):
                    assert contrast(colour) >= GRAPHICS, (selector, property_)


COLOURING = ("c", "color", "colors", "facecolor", "edgecolor", "mfc", "ecolor")
MARKS = ("plot", "loglog", "semilogx", "semilogy", "errorbar", "hist", "bar", "barh", "broken_barh", "scatter")
LINES = ("axhline", "axvline", "hlines", "vlines")
AREAS = ("fill_between", "axvspan", "axhspan")
WORDS = ("text", "annotate", "suptitle", "set_title", "set_xlabel", "set_ylabel")


def shades(tree, letters=3):
    """{node: colour} of every colour in a piece of Python: hex, a grey, a name of ours or of matplotlib's.

    letters: the shortest name that counts; "o" and "s" are markers but where the argument can only be a colour.
    """
    found, literal = {}, rf"#[0-9A-Fa-f]{{3,8}}|[01]?\.\d+|C\d|(?!none)[a-z:]{{{letters},}}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PALETTE:
            found[node] = PALETTE[node.attr]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(literal, node.value):
            found |= {node: node.value} if is_color_like(node.value) else {}
    return found


def faint_in_code(source):
    """What a cell draws or writes too faintly on white, makes transparent, or leaves to matplotlib's own cycle of colours.

    White and pale colours may fill what has a darker edge, or edge what has a darker filling, in the same call. Only
    areas may be transparent: they repeat what something else says.
    """
    tree = ast.parse(source)
    found, everything, accompanied = [], shades(tree), set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        name, given = call.func.attr, {keyword.arg: shades(keyword.value, letters=1) for keyword in call.keywords}
        parts = [given[part] for part in COLOURING if part in given]
        everything |= {node: shade for part in parts for node, shade in part.items()}
        if any(all(contrast(shade) >= GRAPHICS for shade in part.values()) for part in parts):
            accompanied |= set().union(*parts)
        if name in WORDS:
            found += [(name, shade) for part in parts for shade in part.values() if contrast(shade) < TEXT]
        if name in MARKS + LINES + AREAS and not parts and None not in given:
            found.append((name, "no colour of its own"))
        if name in MARKS + LINES and "alpha" in given:
            found.append((name, "transparent"))
    return found + [shade for node, shade in everything.items() if contrast(shade) < GRAPHICS and node not in accompanied]


@pytest.mark.parametrize("path", hygiene.notebooks(), ids=lambda path: path.stem)
def test_the_lessons_own_figures_and_words_have_contrast(path):
    faint_in = {}
    for cell in hygiene.read(path)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            written = re.findall(r"color:\s*([#\w]+)", source)
            faint_in[cell["id"]] = [colour for colour in written if contrast(colour) < TEXT]
        elif not source.startswith("%%writefile"):
            faint_in[cell["id"]] = faint_in_code(source)
    assert {cell: faint for cell, faint in faint_in.items() if faint} == {}


@pytest.mark.parametrize(
    "code",
    [
        'ax.plot(x, y, color="#E69F00")',
        'for colour in ("black", "#56B4E9"):\n    ax.plot(x, y, color=colour)',
        'ax.axhline(1, color="orange")',
        'ax.scatter(x, y, c="y")',
        'ax.hist(x, color="0.8")',
        'ax.bar(x, y, color="C1", edgecolor="white")',
        'ax.text(0, 0, "x", color=explore.VERMILION)',
        "ax.plot(x, y)",
        "ax.plot(x, y, color=explore.BLUE, alpha=0.3)",
    ],
)
def test_faint_code_is_found(code):
    assert faint_in_code(code)


@pytest.mark.parametrize(
    "code",
    [
        'ax.bar(x, y, color="#CCCCCC", edgecolor=explore.GREY)',
        'ax.plot(x, y, "s", color=colour, mfc="white")',
        "ax.axvspan(1, 2, color=explore.BLUE, alpha=0.1)",
        'ax.text(0, 0, "x", color=explore.GREY)',
        "ax.plot(x, y, **look)",
    ],
)
def test_readable_code_is_not(code):
    assert faint_in_code(code) == []
