"""JPEG files as a data set: pixels, batches, workers however they are started, and files that are not what they seem."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from course_lib.data import Pictures, list_pictures, whole_batch

SIZES = ((20, 16), (20, 16), (20, 16), (33, 16))


def jpeg(size=(20, 16), seed=0, mode="RGB", **options) -> bytes:
    """A JPEG file of noise, smooth enough to survive the compression."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.fixture
def files(tmp_path):
    """Four good files, the last one wider."""
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(jpeg(SIZES[i], seed=i))
    return paths


def broken(files):
    """The same files, with the second cut in half and the third no JPEG at all."""
    files[1].write_bytes(files[1].read_bytes()[:200])
    files[2].write_bytes(b"GIF89a, or so it says")
    return files


def pil(path, size=None):
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        picture = picture.resize(size, Image.Resampling.BILINEAR) if size and size != picture.size else picture
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def test_a_picture_is_what_pil_decodes(files):
    pictures = Pictures(files, [3, 1, 0, 2])
    pixels, label = pictures[3]
    assert (pixels.shape, pixels.dtype, label, type(label)) == ((3, 16, 33), torch.uint8, 2, int)
    assert pixels.is_contiguous() and all(torch.equal(pictures[i][0], pil(files[i])) for i in range(4))
    resized = Pictures([str(path) for path in files], torch.tensor([3, 1, 0, 2]), size=(10, 12))
    assert resized[3][0].shape == (3, 12, 10) and torch.equal(resized[3][0], pil(files[3], (10, 12)))
    with pytest.raises(IndexError):
        pictures[4]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_four_colour_files_come_as_rgb(tmp_path, mode):
    path = tmp_path / "a.jpeg"
    path.write_bytes(jpeg(mode=mode))
    assert torch.equal(Pictures([path], [0])[0][0], pil(path))


def test_a_batch_is_its_pictures(files):
    pictures = Pictures(files, [3, 1, 0, 2], size=(10, 12))
    batch, labels = pictures.__getitems__([2, 0, 2])
    assert (batch.shape, batch.dtype, labels.tolist()) == ((3, 3, 12, 10), torch.uint8, [0, 3, 0])
    assert torch.equal(batch, torch.stack([pictures[i][0] for i in (2, 0, 2)]))
    with pytest.raises(ValueError, match=r"3\.jpg: 33x16 in a batch of 20x16 pixels; give a size"):
        Pictures(files, [0] * 4).__getitems__(range(4))
    with pytest.raises(ValueError, match="indices: an empty batch"):
        pictures.__getitems__([])


def test_draft_decodes_less_and_looks_alike(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(jpeg((320, 240)))
    full, draft = (Pictures([path], [0], size=(40, 30), draft=draft)[0][0].float() for draft in (False, True))
    assert full.shape == draft.shape and 0 < (full - draft).abs().mean() < 8


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_workers_deliver_the_same_whichever_way_they_start(files, start):
    if start not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"{start} does not exist on this system")
    pictures = Pictures(files, [3, 1, 0, 2], size=(10, 12))
    options = {"num_workers": 1, "multiprocessing_context": start, "timeout": 120}
    [(batch, labels)] = DataLoader(pictures, 4, collate_fn=whole_batch, **options)
    assert torch.equal(batch, pictures.__getitems__(range(4))[0]) and labels.tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_named_also_from_a_worker(files, workers):
    options = {"num_workers": workers, "timeout": 120 if workers else 0}
    loader = DataLoader(Pictures(broken(files), [0] * 4, size=(10, 12)), 4, collate_fn=whole_batch, **options)
    with pytest.raises(ValueError, match=r"1\.jpg: not a whole JPEG file \(OSError: "):
        list(loader)


def test_damaged_files_are_skipped_and_counted_before_workers_start(files):
    pictures = Pictures(broken(files), [3, 1, 0, 2], size=(10, 12), skip_damaged=True)
    assert [path for path, _ in pictures.skipped] == files[1:3] and all(str(p) in why for p, why in pictures.skipped)
    assert (len(pictures), pictures.paths, pictures.labels.tolist()) == (2, (files[0], files[3]), [3, 2])
    loader = DataLoader(pictures, 2, collate_fn=whole_batch, num_workers=1, timeout=120)
    assert [labels.tolist() for _, labels in loader] == [[3, 2]]
    with pytest.raises(ValueError, match=r"paths: all 2 files are damaged, the first: .*not a whole JPEG file"):
        Pictures(files[1:3], [0, 0], skip_damaged=True)
    assert Pictures(files[:1], [0], skip_damaged=True).skipped == ()


def test_a_file_that_vanishes_later_is_named(files):
    pictures = Pictures(files, [0] * 4)
    files[2].unlink()
    with pytest.raises(ValueError, match=r"2\.jpg: .*FileNotFoundError"):
        pictures[2]


@settings(max_examples=60)
@given(cut=st.integers(0, 700), noise=st.lists(st.tuples(st.integers(0, 699), st.integers(0, 255)), max_size=8))
def test_whatever_a_file_holds_it_is_a_picture_or_named(tmp_path_factory, cut, noise):
    content = bytearray(jpeg())
    for place, value in noise:
        content[place % len(content)] = value
    path = tmp_path_factory.mktemp("fuzz") / "some.jpg"
    path.write_bytes(bytes(content[: len(content) - cut]) if cut else bytes(content))
    pictures = Pictures([path], [0], size=(8, 8))
    try:
        assert pictures[0][0].shape == (3, 8, 8)
    except ValueError as error:
        assert str(path) in str(error)


BAD = {
    "no list": ({"paths": "a.jpg"}, "paths: 'a.jpg'; allowed is a list"),
    "no file": ({"paths": []}, "paths: .*; allowed is a list of one or more"),
    "no path": ({"paths": [3], "labels": [0]}, "paths: 3 in it"),
    "missing": ({"paths": ["gone.jpg", "lost.jpg"], "labels": [0, 0]}, "'gone.jpg' is no file, 2 of 2 are missing"),
    "a folder": ({"paths": ["/"], "labels": [0]}, "'/' is no file"),
    "too few labels": ({"labels": [0, 1]}, "labels: shape .2,. for 4 paths; every picture needs exactly one label"),
    "a table of labels": ({"labels": [[0], [1], [2], [3]]}, "labels: shape .4, 1. for 4 paths"),
    "floats": ({"labels": [0.0, 1.0, 2.0, 3.0]}, "labels: .*; allowed are whole numbers of at least 0"),
    "truth values": ({"labels": [True] * 4}, "labels: .*; allowed are whole numbers"),
    "negative": ({"labels": [0, 1, 2, -1]}, "labels: .*; allowed are whole numbers of at least 0"),
    "words": ({"labels": ["cat"] * 4}, "labels: .*; allowed are whole numbers"),
    "one side": ({"size": 64}, "size: 64; allowed is .width, height."),
    "three sides": ({"size": (1, 2, 3)}, "size: .*; allowed is .width, height."),
    "no pixels": ({"size": (0, 8)}, "size: 0; allowed is an integer from 1"),
    "half a pixel": ({"size": (8, 8.5)}, "size: 8.5; allowed is an integer"),
    "draft of nothing": ({"draft": True}, "draft: True shrinks towards a size"),
    "a word for draft": ({"draft": "yes", "size": (8, 8)}, "draft: 'yes'; allowed are True and False"),
    "a number for skip": ({"skip_damaged": 1}, "skip_damaged: 1; allowed are True and False"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_before_work_begins(files, case):
    change, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Pictures(**{"paths": files, "labels": [0, 1, 2, 3], **change})


def test_a_folder_of_class_folders(tmp_path):
    for name in ("dog/b.JPG", "cat/a.jpeg", "dog/a.jpg", "cat/notes.txt", ".hidden/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "readme.jpg").write_bytes(jpeg())  # of no class
    paths, labels, classes = list_pictures(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["cat/a.jpeg", "dog/a.jpg", "dog/b.JPG"]
    assert labels.tolist() == [0, 1, 1] and classes == ("cat", "dog")
    assert len(Pictures(paths, labels)) == 3


def test_folders_without_what_is_needed(tmp_path):
    with pytest.raises(ValueError, match=r"folder: '.*gone' is no folder"):
        list_pictures(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"folder: '.*' has no subfolder"):
        list_pictures(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"folder: '.*cat' holds no file that ends in \.jpg or \.jpeg"):
        list_pictures(tmp_path)
