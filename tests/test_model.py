import json

import pytest
import torch
from film_kit import PROTOCOL
from safetensors.torch import load, save

from gdshare.errors import ModelError
from gdshare.model import Model, load_model, save_model
from gdshare.networks import build, draw

NAMES = [name for name, _ in build("convnet", 16).named_parameters()]


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    module = build("convnet", 16)
    return Model("convnet", PROTOCOL, tuple(draw("convnet", module, generator) for _ in range(2)))


def test_model_reads_back_as_it_was_saved(model, tmp_path):
    save_model(tmp_path / "m", model, {"threshold": 0.35})
    again, record = load_model(tmp_path / "m")
    assert record.origin == {"threshold": 0.35}
    assert (again.network, again.protocol) == ("convnet", PROTOCOL)
    assert len(again.ensemble) == 2
    for read, written in zip(again.ensemble, model.ensemble, strict=True):
        assert all(torch.equal(read[name], written[name]) for name in written)


def test_another_networks_weights_are_refused(model):
    with pytest.raises(ModelError, match="float32 ones of 1 to 10 times resnet18"):
        Model.from_bytes("resnet18", PROTOCOL, model.to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.pop("1/0.bias"),
        lambda p: p.update(extra=torch.zeros(1)),
        lambda p: p.update({"1/0.bias": torch.zeros(7)}),
        lambda p: p.update({"1/0.bias": torch.full((128,), float("nan"))}),
        lambda p: p.update({"1/0.bias": torch.zeros(128, dtype=torch.float16)}),
        lambda p: p.update({f"7/{name}": p.pop(f"1/{name}") for name in NAMES}),
        lambda p: [p.pop(name) for name in list(p)],
        lambda p: p.update(
            {f"{n}/{name}": p[f"0/{name}"].clone() for n in range(11) for name in NAMES}
        ),
    ],
    ids=[
        "missing",
        "extra",
        "shape",
        "not a number",
        "half precision",
        "a place left out",
        "no network",
        "too many networks",
    ],
)
def test_weights_that_are_not_exactly_the_networks_are_refused(model, change):
    parameters = load(model.to_bytes())
    change(parameters)
    with pytest.raises(ModelError):
        Model.from_bytes("convnet", PROTOCOL, save(parameters))


def header(entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


def entry(shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}


@pytest.mark.parametrize(
    "data",
    [
        header({f"0/{name}": entry([1], "F8_E8M0") for name in NAMES}),
        header({f"{n}/x": entry([0]) for n in range(100_000)}),
        (2**40).to_bytes(8, "little") + b"{}",
        header([1, 2]),
        (2000).to_bytes(8, "little") + b"[" * 2000,
    ],
    ids=["unknown type", "a long list of nothing", "endless header", "no table", "deep header"],
)
def test_a_bad_header_is_refused_before_the_library_parses_it(data, monkeypatch):
    monkeypatch.setattr("gdshare.model.load", lambda data: pytest.fail("was parsed"))
    with pytest.raises(ModelError):
        Model.from_bytes("convnet", PROTOCOL, data)


def test_a_header_that_describes_a_tensor_twice_is_refused(model):
    data = model.to_bytes()
    length = int.from_bytes(data[:8], "little")
    before = data[8 : 8 + length].decode().rstrip()
    first = json.dumps({"0/0.bias": {"dtype": "F32", "shape": [2, 64], "data_offsets": [0, 512]}})
    for text in (first[:-1] + "," + before[1:], before[:-1] + "," + first[1:]):
        twice = len(text.encode()).to_bytes(8, "little") + text.encode() + data[8 + length :]
        with pytest.raises(ModelError, match="names something twice"):
            Model.from_bytes("convnet", PROTOCOL, twice)


@pytest.mark.parametrize("size", [0, 11])
def test_an_ensemble_that_could_not_be_read_back_is_refused(model, size):
    with pytest.raises(ModelError, match="use 1 to 10"):
        Model("convnet", PROTOCOL, model.ensemble[:1] * size)


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_bytes_that_are_not_safetensors_are_refused(data):
    with pytest.raises(ModelError):
        Model.from_bytes("convnet", PROTOCOL, data)


def test_unknown_network_in_a_record_is_refused(model, tmp_path):
    save_model(tmp_path, model, {})
    record = json.loads((tmp_path / "model.json").read_text(encoding="utf-8")) | {"network": "vgg"}
    (tmp_path / "model.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match="vgg"):
        load_model(tmp_path)


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"holds model\.json"):
        load_model(tmp_path)
