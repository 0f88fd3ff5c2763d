import pytest
import torch

from course_lib import models


def parameters(model):
    return sum(weight.numel() for weight in model.parameters())


def test_the_default_perceptron_is_the_one_of_the_benchmarks():
    assert parameters(models.mlp()) == 64 * 64 + 64 + 64 * 10 + 10
    assert models.mlp(inputs=784, hidden=32, classes=5, layers=4)(torch.zeros(3, 784)).shape == (3, 5)


@pytest.mark.parametrize("size", [4, 16, 28, 32])
def test_one_small_net_takes_glyphs_digits_and_photographs(size):
    model = models.small_cnn(classes=7, channels=3)
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)
    assert 55_000 < parameters(models.small_cnn()) < 65_000


def test_the_language_model_does_not_see_the_future():
    torch.manual_seed(0)
    model, tokens = models.ByteLM(context=16).eval(), torch.randint(0, 256, (2, 16))
    changed = tokens.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 256
    before, after = model(tokens), model(changed)
    assert before.shape == (2, 16, 256)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_a_fresh_language_model_is_as_good_as_guessing():
    torch.manual_seed(0)
    tokens = torch.randint(0, 256, (4, 64))
    loss = models.token_loss(models.ByteLM()(tokens), tokens.roll(-1, 1))
    assert abs(loss.item() - torch.tensor(256.0).log().item()) < 0.5


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match="d_model: 30 is not a multiple of heads, 4"):
        models.ByteLM(d_model=30)
    with pytest.raises(ValueError, match="65 positions are more than the context of 64"):
        models.ByteLM()(torch.zeros(1, 65, dtype=torch.long))


def test_a_matrix_factorisation_scores_every_item_by_hand():
    torch.manual_seed(0)
    model, users = models.Factors(5, 7, width=3), torch.tensor([4, 0])
    with torch.no_grad():
        model.bias[6] = 2.0
    scores = model(users)
    assert scores.shape == (2, 7) and parameters(model) == 5 * 3 + 7 * 3 + 7
    torch.testing.assert_close(scores[0, 6], (model.users.weight[4] * model.items.weight[6]).sum() + 2)
    with pytest.raises(ValueError, match="items: 0 is not allowed"):
        models.Factors(5, 0)
