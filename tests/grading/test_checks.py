"""The checks inside exercises."""

import pytest

from course_lib.exercises import Checks


def test_checks_add_up_and_say_what_failed(capsys):
    check = Checks()
    with check(2, "two and two"):
        assert 2 + 2 == 4
    with check(1, "one more"):
        raise AssertionError("expected 1, got 2")
    assert check.total() == 2
    assert check.results == [("two and two", 2, True), ("one more", 1, False)]
    assert capsys.readouterr().out == "passed  (2 of 2)  two and two\nnot yet (0 of 1)  one more: expected 1, got 2\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotImplementedError("no answer yet"), "no answer yet"),
        (KeyError("x"), "KeyError: 'x'"),
        (AssertionError(), "AssertionError: "),
    ],
)
def test_checks_that_all_fail_fail_the_cell(error, words):
    check = Checks()
    with check(1, "something"):
        raise error
    with pytest.raises(AssertionError) as caught:
        check.total()
    assert str(caught.value) == f"something: {words}"


def test_checks_let_an_interrupt_through():
    check = Checks()
    with pytest.raises(KeyboardInterrupt), check(1, "a loop"):
        raise KeyboardInterrupt
