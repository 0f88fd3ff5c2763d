"""Fewer bits: levels and bytes by hand, the straight-through gradient, and int8 engines that keep the answers."""

import copy
import logging
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import compress, models
from course_lib.compress import engines, pt2e


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    return model.eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def exported(net, pictures, tmp_path_factory):
    """(the float32 engine, what making it printed or warned)"""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compress.onnx_engine(net, pictures[:1], tmp_path_factory.mktemp("engine"))


def close(engine, net, pictures, share):
    """Whether the engine's answers lie within `share` of the spread of the model's."""
    with torch.no_grad():
        wanted = net(pictures)
    return (engine(pictures) - wanted).abs().max() < share * (wanted.max() - wanted.min())


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("low, high", [(-1.0, 3.0), (0.0, 6.0), (2.0, 5.0), (-4.0, -1.0)])
def test_a_range_comes_back_within_half_a_step_and_zero_exactly(low, high, bits):
    scale, zero = compress.scale_and_zero_point(low, high, bits)
    x = torch.linspace(low, high, 500)
    back = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 2**bits - 1)
    assert (back - x).abs().max() <= scale / 2 * 1.01
    assert isinstance(zero, int) and 0 <= zero < 2**bits


def test_rounded_weights_lie_on_their_levels_within_half_a_step():
    weight = torch.randn(5, 30) * torch.tensor([0.01, 0.1, 1, 10, 100]).view(-1, 1)
    for bits in range(2, 9):
        top = 2 ** (bits - 1) - 1
        largest = weight.abs().amax(1, keepdim=True)
        whole = compress.rounded(weight, bits) / largest * top
        assert torch.allclose(whole, whole.round(), atol=1e-3) and whole.abs().max() < top + 0.01
        assert ((compress.rounded(weight, bits) - weight).abs() <= largest / top / 2 * 1.001).all()
    whole_tensor = compress.rounded(weight, 4, per_channel=False)
    assert not whole_tensor[0].any() and whole_tensor[4].any(), "one scale leaves nothing of the smallest channel"
    assert torch.equal(compress.rounded(torch.zeros(2, 3), 4), torch.zeros(2, 3)), "a channel of zeros stays one"


def test_one_bit_is_a_sign_times_the_best_scale():
    weight = torch.randn(4, 50)
    binary = compress.rounded(weight, 1)
    scale = weight.abs().mean(1, keepdim=True)
    assert torch.allclose(binary, weight.sign() * scale)
    error = (binary - weight).square().sum()
    assert all((weight.sign() * scale * factor - weight).square().sum() > error for factor in (0.9, 1.1))


def test_quantize_weights_leaves_the_model_and_its_biases_alone(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    small = compress.quantize_weights(net, 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(small[4].bias, net[4].bias)
    assert torch.equal(small[0].weight, compress.rounded(net[0].weight, 3))


def test_bytes_are_weights_at_their_bits_scales_and_the_rest(net):
    assert compress.weight_bytes(net, 8) == (36 + 48) + 4 * (4 + 3) + 4 * (4 + 3)
    assert compress.weight_bytes(net, 3) == (14 + 18) + 28 + 28  # 36 x 3 bits are 13.5 bytes
    assert compress.weight_bytes(net, 1, per_channel=False) == (5 + 6) + 2 * 4 + 28
    assert compress.weight_bytes(net, 8, kinds=(nn.Linear,)) == 36 * 4 + 48 + 3 * 4 + 28


@pytest.mark.parametrize("bits", [1, 3])
def test_training_through_the_staircase_moves_the_float_weights(net, pictures, bits):
    aware = compress.quantization_aware(net, bits)
    original = aware[4].parametrizations.weight.original
    assert torch.allclose(aware[4].weight, compress.rounded(net[4].weight, bits), atol=1e-6)
    plain = compress.quantize_weights(net, bits)
    targets = torch.arange(40) % 3
    for model in (aware, plain):
        F.cross_entropy(model(pictures), targets).backward()
    assert torch.allclose(original.grad, plain[4].weight.grad, atol=1e-6), "the gradient arrives as it came"
    done = compress.settled(aware)
    assert [type(layer) for layer in done] == [type(layer) for layer in net] and not done.training
    assert torch.allclose(done(pictures), aware(pictures), atol=1e-5)
    assert aware[4].parametrizations.weight.original is original, "settled takes a copy"


def test_the_float_engine_gives_the_answers_of_the_model(exported, net, pictures):
    with torch.no_grad():
        for batch in (1, 7, 40):
            assert torch.allclose(exported(pictures[:batch]), net(pictures[:batch]), atol=1e-5)
    assert exported.stored_bytes == exported.path.stat().st_size > 4 * sum(p.numel() for p in net.parameters())


def test_a_second_model_gets_the_graph_of_the_first_with_its_own_weights(exported, net, pictures, tmp_path):
    other = copy.deepcopy(net)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.1 * torch.randn_like(weight)
    engine = compress.same_graph(exported, other, tmp_path)
    with torch.inference_mode():
        torch.testing.assert_close(engine(pictures), other(pictures), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(exported(pictures), net(pictures), rtol=1e-3, atol=1e-4)
        int8 = compress.static_int8(engine, pictures, tmp_path / "int8")  # as any engine of float32
        assert (int8(pictures) - other(pictures)).abs().max() < 0.2 * other(pictures).abs().max()
    with pytest.raises(ValueError, match=r"model: .* is not in float32.onnx; it has to have the same layers"):
        compress.same_graph(exported, models.mlp(3, 4, 5), tmp_path)


@pytest.mark.parametrize("ranges", engines.RANGES)
def test_static_int8_is_close_for_every_rule_of_ranges(exported, net, pictures, tmp_path, ranges):
    engine = compress.static_int8(exported, pictures, tmp_path, ranges)
    assert close(engine, net, pictures, 0.2) and not close(engine, net, pictures, 1e-6), "close, and yet rounded"


def test_dynamic_int8_is_close(exported, net, pictures, tmp_path):
    engine = compress.dynamic_int8(exported, pictures[:1], tmp_path)
    assert close(engine, net, pictures, 0.1) and not close(engine, net, pictures, 1e-6)


def test_int8_files_of_the_base_model_are_below_a_third(tmp_path):
    base, inputs = compress.base_model(), torch.randn(20, 1, 16, 16)
    plain = compress.onnx_engine(base, inputs, tmp_path)
    assert 3 * compress.static_int8(plain, inputs, tmp_path / "int8").stored_bytes < plain.stored_bytes
    assert b"site-packages" not in plain.path.read_bytes(), "the file tells nothing of the machine that wrote it"


def test_a_module_and_its_engine_become_the_same_int8(exported, net, pictures, tmp_path):
    net.train()
    by_module = compress.static_int8(net, pictures, tmp_path / "module")
    assert net.training, "the mode is given back"
    net.eval()
    assert torch.equal(by_module(pictures), compress.static_int8(exported, pictures, tmp_path / "engine")(pictures))


def test_pt2e_and_weight_only_are_close(net, pictures):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph, only = compress.static_pt2e(net, pictures), compress.weight_only_int8(net)
    with torch.no_grad():
        assert close(graph, net, pictures, 0.2) and close(only, net, pictures, 0.1)
    assert not graph.training
    assert torch.equal(only[0].weight, net[0].weight), "Conv layers stay as they are"
    assert any(value.dtype == torch.int8 for value in graph.buffers())


def test_a_missing_compiler_is_named(monkeypatch):
    from torch._inductor import exc

    def refuse(*arguments, **settings):
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(pt2e.torch, "compile", lambda *arguments, **settings: refuse)
    with pytest.raises(RuntimeError, match=r"no C\+\+ compiler"):
        compress.compile_int8(nn.Linear(2, 2), [torch.ones(1, 2)])


def test_a_compiled_function_takes_the_shapes_it_was_compiled_for(monkeypatch):
    monkeypatch.setattr(pt2e.torch, "compile", lambda graph, dynamic: graph)
    run, seconds = compress.compile_int8(nn.Linear(2, 2), [torch.ones(1, 2), torch.ones(5, 2)])
    assert run(torch.ones(5, 2)).shape == (5, 2) and seconds >= 0
    with pytest.raises(ValueError, match=r"shape \(3, 2\) is not allowed"):
        run(torch.ones(3, 2))


def test_making_engines_is_silent_and_leaves_logging_as_it_was(exported, net, pictures, tmp_path, capfd):
    before = logging.root.manager.disable, list(logging.root.handlers)
    compress.onnx_engine(net, pictures[:1], tmp_path)
    compress.static_int8(exported, pictures, tmp_path, "entropy")
    compress.dynamic_int8(exported, pictures[:1], tmp_path)
    compress.static_pt2e(net, pictures)
    assert capfd.readouterr() == ("", "")
    assert (logging.root.manager.disable, list(logging.root.handlers)) == before


def test_an_error_within_the_silence_comes_through():
    with pytest.raises(ZeroDivisionError), engines.quiet():
        raise ZeroDivisionError
    assert logging.root.manager.disable == 0


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x) if float(x.sum()) > 0 else x


CNN, X = models.small_cnn(), torch.randn(4, 1, 16, 16)
NAN = torch.full((2, 1, 16, 16), torch.nan)
LSTM, MLP = nn.Sequential(nn.LSTM(3, 4)), models.mlp()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda f: compress.static_int8(CNN, X[:0], f), ValueError, r"calibration: shape \(0, 1, 16, 16\)"),
        (lambda f: compress.static_int8(CNN, X[0, 0, 0], f), ValueError, r"calibration: shape \(16,\)"),
        (lambda f: compress.static_int8(CNN, X[:, :, :2, :2], f), ValueError, "calibration: .* does not fit the model"),
        (lambda f: compress.static_int8(CNN, X.repeat(1, 3, 1, 1), f), ValueError, "calibration: .* does not fit the model"),
        (lambda f: compress.static_int8(CNN, X.double(), f), ValueError, "calibration: torch.float64"),
        (lambda f: compress.static_int8(CNN, NAN, f), ValueError, "calibration: .* finite"),
        (lambda f: compress.static_int8(CNN, X.tolist(), f), TypeError, "calibration: list"),
        (lambda f: compress.static_int8(CNN, X, f, "max"), ValueError, "ranges: 'max' .*'min-max'"),
        (lambda f: compress.static_int8(LSTM, X, f), ValueError, r"model: 0 \(LSTM\) cannot be quantized"),
        (lambda f: compress.static_int8(nn.ReLU(), X, f), ValueError, "nothing to quantize"),
        (lambda f: compress.static_int8(len, X, f), TypeError, "model: builtin_function"),
        (lambda f: compress.dynamic_int8(LSTM, X, f), ValueError, r"0 \(LSTM\)"),
        (lambda f: compress.dynamic_int8(CNN, X[:0], f), ValueError, "example: shape"),
        (lambda f: compress.onnx_engine(CNN, X[:0], f), ValueError, "example: shape"),
        (lambda f: compress.onnx_engine(CNN.state_dict(), X, f), TypeError, "model: OrderedDict"),
        (lambda f: compress.onnx_engine(models.mlp().to("meta"), X, f), ValueError, r"model: it lies on meta.*model.cpu\(\)"),
        (lambda f: compress.onnx_engine(Branching(), X[0, 0, :, :2], f), ValueError, "Branching cannot be exported"),
        (lambda f: compress.Engine(f / "none.onnx"), FileNotFoundError, "none.onnx: there is no such file"),
        (lambda f: compress.static_pt2e(CNN, X[:0]), ValueError, "calibration: shape"),
        (lambda f: compress.static_pt2e(LSTM, X), ValueError, r"0 \(LSTM\)"),
        (lambda f: compress.weight_only_int8(nn.Conv2d(1, 2, 3)), ValueError, "no Linear layer"),
        (lambda f: compress.quantize_weights(MLP, 0), ValueError, "bits: 0 .* from 1 to 8"),
        (lambda f: compress.quantize_weights(MLP, 9), ValueError, "bits: 9 "),
        (lambda f: compress.quantize_weights(MLP, 4.0), ValueError, "bits: 4.0 "),
        (lambda f: compress.quantize_weights(LSTM, 4), ValueError, r"0 \(LSTM\)"),
        (lambda f: compress.quantization_aware(MLP, True), ValueError, "bits: True "),
        (lambda f: compress.quantization_aware(models.ByteLM(), 4), ValueError, r"token \(Embedding\), position \(Embedding\)"),
        (lambda f: compress.weight_bytes(MLP, -1), ValueError, "bits: -1 "),
        (lambda f: compress.settled(MLP), ValueError, "no weight in it is held to levels"),
        (lambda f: compress.rounded(torch.ones(3), 4), ValueError, "weight: a tensor of shape"),
        (lambda f: compress.rounded(NAN, 4), ValueError, "weight: not every value is finite"),
        (lambda f: compress.scale_and_zero_point(0.0, 1.0, 1), ValueError, "bits: 1 .* from 2 to 8"),
        (lambda f: compress.scale_and_zero_point(1.0, -1.0), ValueError, "low, high: 1.0, -1.0"),
        (lambda f: compress.scale_and_zero_point(0.0, float("nan")), ValueError, "low, high: 0.0, nan"),
        (lambda f: compress.scale_and_zero_point(0, 0), ValueError, "a range has a width"),
    ],
)
def test_bad_input_is_named(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path)
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_an_engine_names_inputs_that_do_not_fit_and_engines_that_are_int8(exported, pictures, tmp_path):
    for wrong in (pictures[0], pictures[:, :, :4], pictures.double()):
        with pytest.raises(ValueError, match=r"inputs: .* it is torch.float32 \(B, 1, 8, 8\)"):
            exported(wrong)
    int8 = compress.static_int8(exported, pictures, tmp_path)
    with pytest.raises(ValueError, match=r"the engine of static_int8.onnx is not allowed"):
        compress.static_int8(int8, pictures, tmp_path)
