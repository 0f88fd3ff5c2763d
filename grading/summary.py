"""A page for the room: which question was lost most, on which check, and with which answer. No learner's name is on it."""

import re
from collections import Counter
from statistics import mean

from grading.answers import comparable, shown
from grading.feedback import title
from grading.files import replace
from grading.pages import escaped, page, table


def write(path, graded, asked, stubs):
    """Write the summary of a class.

    graded: [(Grade, {test cell: code})]. asked: {exercise: {test cell: Asked}}. stubs: {exercise: {test cell: code}}, the
    code in the released exercise, so that no answer at all is not called a wrong one.
    """
    names = {grade.student for grade, _ in graded}
    parts = [_exercise(name, graded, asked[name], stubs[name], names) for name in sorted(asked)]
    replace(path, page("The class, question by question", "\n".join(parts)))


def _exercise(name, graded, asked, stubs, names):
    mine = [(grade, answers) for grade, answers in graded if grade.exercise == name]
    counted = [(grade, answers) for grade, answers in mine if grade.questions]
    if not counted:
        return f"<h2>{escaped(name)}</h2>\n<p>None of {len(mine)} could be graded.</p>"
    lost = {test: [pair for pair in counted if _missed(pair[0], test)] for test in asked}
    most = max(lost, key=lambda test: _points_lost(lost[test], test))
    rows = [_row(test, one, counted, lost[test], most) for test, one in asked.items()]
    points = mean(grade.points for grade, _ in counted)
    maximum = sum(one.points for one in asked.values())
    left = f"; {len(mine) - len(counted)} more could not be graded" if len(counted) < len(mine) else ""
    heads = ("question", "mean points", "lost points on it", "the check that failed most")
    answers = [_wrong_answer(test, lost[test], stubs, names) for test in asked]
    return "\n".join(
        [
            f"<h2>{escaped(name)}</h2>",
            f"<p>{len(counted)} submissions, on average {points:.1f} of {maximum:g} points{left}.</p>",
            table("Questions", heads, rows),
            *filter(None, answers),
        ]
    )


def _missed(grade, test):
    return test in grade.questions and grade.questions[test].points < grade.questions[test].maximum


def _points_lost(pairs, test):
    return sum(grade.questions[test].maximum - grade.questions[test].points for grade, _ in pairs)


def _row(test, one, counted, lost, most):
    points = mean(grade.questions[test].points if test in grade.questions else 0 for grade, _ in counted)
    checks = Counter(check for grade, _ in lost for check in grade.questions[test].failed)
    name = escaped(title(test)) + (" <strong>(lost most)</strong>" if test == most and lost else "")
    check, times = _commonest(checks) if checks else ("", 0)
    worst = f"{escaped(check)} ({times} times)" if times else "none"
    return name, f"{points:.1f} of {one.points:g}", f"{len(lost)} of {len(counted)}", worst


def _commonest(counts):
    """The first in the alphabet of those that are most frequent: the same class gives the same page."""
    return min(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _wrong_answer(test, lost, stubs, names):
    """The commonest wrong answer to a question, as HTML; nothing where nobody gave a wrong one."""
    blank = comparable(stubs.get(test, ""))
    groups = {}
    for _, answers in sorted(lost, key=lambda pair: pair[0].student):
        if test in answers:
            groups.setdefault(comparable(answers[test]), []).append(answers[test])
    none = len(groups.pop(blank, ()))
    heading = f"<h3>{escaped(title(test))}</h3>"
    without = f"<p>No answer: {none}.</p>" if none else ""
    if not groups:
        return heading + without if none else ""
    _, times = _commonest({key: len(codes) for key, codes in groups.items()})
    codes = min((key, codes) for key, codes in groups.items() if len(codes) == times)[1]
    how_often = (
        f"The commonest wrong answer, {times} of {sum(map(len, groups.values()))}:"
        if times > 1
        else "One of the wrong answers:"
    )
    return f"{heading}\n{without}<p>{how_often}</p>\n{_code(codes, names)}"


def _code(codes, names):
    """The first of some equal answers that holds no learner's name, as HTML."""
    somebody = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, sorted(names)))})(?![^\W_])", re.IGNORECASE)
    for code in codes:
        text = shown(code)
        if not somebody.search(text):
            return f"<pre><code>{escaped(text)}</code></pre>"
    return "<p>(It is not shown, since it holds a learner's name.)</p>"
