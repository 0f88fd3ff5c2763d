"""Crops: one by one and by batches the same pixels, drawn anew each time, and a data set that gives single ones."""

import pytest
import torch

from course_lib import data

PIXELS = torch.randint(256, (6, 3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CHOSEN = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))


def test_a_batch_has_the_pixels_of_its_crops():
    one_by_one = torch.stack([data.crop_one(p, c, 24) for p, c in zip(PIXELS, CHOSEN, strict=True)])
    assert torch.allclose(one_by_one, data.crop_batch(PIXELS, CHOSEN, 24), atol=1e-6)


def test_the_four_numbers_choose_place_mirror_and_brightness():
    plain = data.crop_one(PIXELS[0], (0.0, 0.0, 0.0, 0.5), 24)
    assert torch.allclose(plain, PIXELS[0, :, :24, :24].float() / 255 - 0.5)
    assert torch.allclose(data.crop_one(PIXELS[0], (0.0, 0.0, 0.9, 0.5), 24), plain.flip(2))
    far = data.crop_one(PIXELS[0], (0.999, 0.999, 0.0, 0.0), 24)
    assert torch.allclose(far, PIXELS[0, :, 6:, 16:].float() / 255 * 0.8 - 0.5)


@pytest.mark.parametrize("side", [0, 31])
def test_a_side_that_does_not_fit_is_named(side):
    for crop, pixels, chosen in ((data.crop_one, PIXELS[0], CHOSEN[0]), (data.crop_batch, PIXELS, CHOSEN)):
        with pytest.raises(ValueError, match=f"side: {side} is not allowed; it is 1 to 30"):
            crop(pixels, chosen, side)
    with pytest.raises(ValueError, match=r"chosen: shape \(5, 4\) is not allowed; it is \(6, 4\)"):
        data.crop_batch(PIXELS, CHOSEN[:5], 24)


def test_the_data_set_gives_single_crops_drawn_anew():
    photos = data.jpeg_folder(n=9, size=(64, 48))
    crops = data.Crops(photos.paths, photos.labels, size=(40, 30), side=24)
    torch.manual_seed(3)
    first, label = crops[2]
    again, _ = crops[2]
    assert first.shape == (3, 24, 24) and label == 2 and not torch.equal(first, again)
    torch.manual_seed(3)
    whole, _ = data.Pictures(photos.paths, photos.labels, size=(40, 30))[2]
    assert torch.equal(first, data.crop_one(whole, torch.rand(4).tolist(), 24))
    (batch, targets), *_ = torch.utils.data.DataLoader(crops, batch_size=9)
    assert batch.shape == (9, 3, 24, 24) and targets.tolist() == list(range(9))
    with pytest.raises(ValueError, match="side: 31 is not allowed; it is 1 to 30"):
        data.Crops(photos.paths, photos.labels, size=(40, 30), side=31)
