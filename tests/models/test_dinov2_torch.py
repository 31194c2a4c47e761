"""Our DINOv2 against PyTorch's, from files that PyTorch and safetensors wrote."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

WHY = "compares with PyTorch: pip install -e '.[bench]'"
torch = pytest.importorskip("torch", reason=WHY)

import safetensors.torch as torch_files  # noqa: E402
import torch_dinov2  # noqa: E402

from glam_jax.models.dinov2 import tensor_file, vit, weights  # noqa: E402

LAYOUTS = ("original.pth", "hugging_face.safetensors", "hugging_face.bin", "original.safetensors")


@pytest.fixture(scope="module")
def reference():
    return torch_dinov2.DinoV2(seed=0).eval()


@pytest.fixture(scope="module")
def files(reference, tmp_path_factory):
    """Folder with the reference's weights in each layout, as each library writes them."""
    folder = tmp_path_factory.mktemp("weights")
    original = reference.state_dict()
    hugging_face = torch_dinov2.hugging_face(original)
    torch.save(original, folder / "original.pth")
    torch.save(hugging_face, folder / "hugging_face.bin")
    torch_files.save_file(original, folder / "original.safetensors", {"format": "pt"})
    torch_files.save_file(hugging_face, folder / "hugging_face.safetensors", {"format": "pt"})
    return folder


def loaded(path):
    return {"params": weights.convert(tensor_file.read(path), vit.DinoV2(), path)}


def test_the_reference_has_the_published_counts(reference):
    original = reference.state_dict()
    assert (len(original), len(torch_dinov2.hugging_face(original))) == (175, 223)
    assert sum(leaf.numel() for leaf in original.values()) == 22_056_192 + 384  # the mask token


@pytest.mark.parametrize("side", [98, 224])
@pytest.mark.parametrize("scaled, offset", [(True, 0.1), (False, 0.0)])
def test_features_are_pytorchs(reference, files, side, scaled, offset):
    image = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    pixels = (image / 255.0 - vit.PIXEL_MEAN) / vit.PIXEL_STD
    with torch.no_grad():
        there = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
        expected = reference(there, scaled).numpy()
    params = loaded(files / LAYOUTS[not scaled])
    # Not jitted as a whole: the blocks share what is compiled for their operations.
    found = vit.DinoV2(offset=offset).apply(params, image)
    assert np.abs(expected).max() > 0.5 and np.std(expected[0] - expected[1]) > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_every_layout_gives_the_same_parameters(files):
    first, *others = (loaded(files / name) for name in LAYOUTS)
    for other in others:
        jax.tree.map(np.testing.assert_array_equal, first, other)


@pytest.mark.parametrize("n", [1, 7, 16, 36, 37, 38, 50])
@pytest.mark.parametrize("scaled, offset", [(True, 0.1), (False, 0.0)])
def test_positions_are_resized_as_pytorch_does(reference, n, scaled, offset):
    stored = reference.pos_embed.detach()
    expected = torch_dinov2.resized(stored, n, scaled).numpy()
    found = vit.resize_positions(jnp.asarray(stored.numpy()), n, n, offset)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_kinds_of_number_are_read(reference, tmp_path, kind):
    state = {"w": reference.norm.weight.detach().to(getattr(torch, kind))}
    torch.save(state, tmp_path / "a.pth")
    torch_files.save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        found = np.asarray(tensor_file.read(tmp_path / name)["w"], np.float32)
        np.testing.assert_array_equal(found, state["w"].float().numpy())


def test_tensors_that_are_views_are_read(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    torch.save({"turned": whole.T, "part": whole[1:3, 2::2]}, tmp_path / "a.pth")
    found = tensor_file.read(tmp_path / "a.pth")
    np.testing.assert_array_equal(found["turned"], whole.T.numpy())
    np.testing.assert_array_equal(found["part"], whole[1:3, 2::2].numpy())


@pytest.mark.parametrize("saved", ["module", "training", "legacy"])
def test_other_things_that_pytorch_saves_are_refused(reference, tmp_path, saved):
    path = tmp_path / "a.pth"
    linear = reference.norm
    if saved == "module":
        torch.save(linear, path)
    elif saved == "training":
        torch.save({"model": linear.state_dict(), "step": 3}, path)
    else:
        torch.save(linear.state_dict(), path, _use_new_zipfile_serialization=False)
    message = {
        "module": "PyTorch does not read it",
        "training": "'model' is a OrderedDict; expected a tensor under a name",
        "legacy": "neither a .pth of PyTorch 1.6 or later nor",
    }[saved]
    with pytest.raises(tensor_file.TensorFileError, match=message) as error:
        tensor_file.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


class Touch:
    """Pickles as a call of `Path.touch`, which an ordinary unpickler carries out."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_a_malicious_checkpoint_runs_nothing(tmp_path):
    marker, path = tmp_path / "was_run", tmp_path / "a.pth"
    torch.save({"w": Touch(marker)}, path)
    with pytest.raises(tensor_file.TensorFileError, match="PyTorch does not read it"):
        tensor_file.read(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"w": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(tensor_file.TensorFileError, match="PyTorch does not read it") as error:
        tensor_file.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
