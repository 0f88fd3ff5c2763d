"""Text and calls of the standard library."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data import library_calls, library_text
from course_lib.data.recommender import LEAST_ITEMS, _dense_core, _functions
from course_lib.data.text import library_files


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """One folder for the module: reading every source of the standard library takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.mark.parametrize("kind", ["english", "code"])
def test_targets_are_the_next_bytes(kind):
    data = library_text(kind, context=50)
    for inputs, targets in (data.train, data.test):
        assert inputs.shape == targets.shape and inputs.shape[1] == 50 and inputs.dtype == torch.int64
        assert inputs.min() >= 0 and inputs.max() <= 255
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
        assert torch.equal(inputs[1:, 0], targets[:-1, -1])  # windows follow each other and do not overlap
    assert data.provenance["n_train"] == len(data.train[0]) > 5 * len(data.test[0]) > 0
    assert data.provenance["kind"] == "real" and kind in data.name


def test_english_reads_as_english():
    words = bytes(library_text("english").train[0].flatten().tolist()).decode().lower()
    assert 200_000 < len(words) < 1_000_000
    assert words.count(" the ") > 1000


def test_no_file_is_in_both_splits():
    files = library_files()
    assert len(files) > 300 and [name for name, _ in files] == sorted({name for name, _ in files})
    assert any(name == "ast.py" for name, _ in files)
    assert not any("site-packages" in name or "/test/" in name for name, _ in files)
    data = library_text("code", context=256)
    # wherever it stands in the stream, a window of a held-out file is not in the training text;
    # a few are all the same, for the tables in encodings/ repeat each other
    seen = data.train[0].to(torch.uint8).numpy().tobytes()
    sample = data.test[0].to(torch.uint8).numpy()[:: len(data.test[0]) // 50]
    assert sum(window.tobytes() in seen for window in sample) < len(sample) / 5


def test_the_class_of_a_byte_has_a_name():
    classes = library_text().classes
    assert len(classes) == len(set(classes)) == 256
    assert classes[ord("a")] == "a" and classes[10] == "0x0a"


@pytest.mark.parametrize("kind", ["latin", "", None, 3, ["english"]])
def test_a_bad_kind(kind):
    with pytest.raises(ValueError, match=r"^kind: .*; allowed are 'english', 'code'$"):
        library_text(kind)


@settings(max_examples=30)
@given(st.one_of(st.integers(max_value=0), st.integers(min_value=4097), st.floats(), st.booleans(), st.text()))
def test_a_bad_context(context):
    with pytest.raises(ValueError) as caught:
        library_text(context=context)
    assert str(caught.value) == f"context: {context!r}; allowed is an integer from 1 to 4,096"


@settings(max_examples=30)
@given(st.integers(1, 4096))
def test_any_allowed_context_gives_whole_windows(context):
    data = library_text(context=context)
    assert data.train[0].shape[1] == data.test[1].shape[1] == context and len(data.test[0]) > 0


def test_calls_hold_one_item_of_every_user_out():
    data = library_calls()
    users, items = data.train
    pairs = set(zip(users.tolist(), items.tolist(), strict=True))
    held = set(zip(data.test[0].tolist(), data.test[1].tolist(), strict=True))
    assert len(pairs) == len(users) and not pairs & held
    assert data.test[0].tolist() == list(range(len(data.users)))
    assert users.bincount().min() >= LEAST_ITEMS - 1
    assert items.max() < len(data.classes) and "append" in data.classes
    assert 1000 < len(data.users) < 6000 and 200 < len(data.classes) < 2000 and len(users) > 8000
    assert library_calls().provenance == data.provenance


def test_calls_can_be_predicted():
    """Item neighbours find the held-out name far more often than popularity does: the table has structure."""
    data = library_calls()
    table = torch.zeros(len(data.users), len(data.classes))
    table[data.train] = 1
    popularity = table.sum(0).expand_as(table)
    scaled = table / table.sum(0).clamp(min=1).sqrt()
    neighbours = table @ (scaled.T @ scaled)

    def found(score):
        top = score.masked_fill(table > 0, -1).topk(10).indices
        return (top == data.test[1][:, None]).any(1).float().mean().item()

    assert found(neighbours) > 1.4 * found(popularity) > 0.2


def test_functions_and_what_they_call(tmp_path):
    source = tmp_path / "m.py"
    source.write_text("if x:\n def f():\n  a.b(c())\nclass A:\n class B:\n  async def g(self): h()()\n  y = z()\n")
    assert dict(_functions("m.py", source)) == {"m.py:f": {"b", "c"}, "m.py:A.B.g": {"h"}}
    source.write_text("def broken(:")
    assert list(_functions("m.py", source)) == []


def test_the_core_is_dense_for_users_and_items():
    common = {f"u{i}": {"a", "b", "c", "d"} for i in range(5)}
    chosen = {**common, "rare": {"a", "b", "c", "seldom"}, "few": {"a"}}
    assert _dense_core(chosen) == common  # without "seldom", "rare" has too few items left
