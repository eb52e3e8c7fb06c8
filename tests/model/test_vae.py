import pytest
import torch

from uadbids.model.config import MODELS, VAEConfig
from uadbids.model.vae import VAE

PARAMETERS = {"spatial2d": 491953, "spatial3d": 1645009, "dense2d": 1753873, "dense3d": 8370481}
CODES = {
    "spatial2d": (64, 10, 12),
    "spatial3d": (64, 10, 12, 5),
    "dense2d": (256,),
    "dense3d": (256,),
}


def small(dims=3, bottleneck="dense"):
    return VAEConfig(dims, bottleneck, (16, 32, 16)[:dims], channels=(4, 8, 8, 16), latent=6)


@pytest.mark.parametrize("name", MODELS)
def test_packaged_models_have_the_documented_sizes(name):
    model = VAE(MODELS[name]).eval()
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    x = torch.rand(1, 1, *MODELS[name].shape)
    with torch.no_grad():
        output = model(x)
    assert output.reconstruction.shape == x.shape
    assert output.mean.shape == output.logvar.shape == (1, *CODES[name])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("bottleneck", ["spatial", "dense"])
def test_code_is_drawn_in_training_and_its_mean_is_used_in_evaluation(dims, bottleneck):
    model = VAE(small(dims, bottleneck))
    x = torch.rand(2, 1, *model.config.shape)
    model.train()
    assert not torch.equal(model(x).reconstruction, model(x).reconstruction)
    seeded = [model(x, [torch.Generator().manual_seed(5)]).reconstruction for _ in range(2)]
    assert torch.equal(*seeded)
    model.eval()
    assert torch.equal(model(x).reconstruction, model(x).reconstruction)


@pytest.mark.parametrize("bottleneck", ["spatial", "dense"])
def test_every_parameter_gets_a_gradient(bottleneck):
    model = VAE(small(3, bottleneck)).train()
    output = model(torch.rand(1, 1, 16, 32, 16))
    (output.reconstruction.abs().mean() + output.mean.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_log_variance_stays_bounded_for_absurd_weights():
    model = VAE(small()).train()
    torch.nn.init.constant_(model.to_logvar[-1].bias, 1e6)
    output = model(torch.rand(1, 1, 16, 32, 16))
    assert (output.logvar == 10.0).all()
    assert torch.isfinite(output.reconstruction).all()


def test_spatial_code_is_local_and_dense_code_is_not():
    x = torch.zeros(1, 1, 64, 64)
    changed = x.clone()
    changed[..., :4, :4] = 1.0
    reach = {}
    for bottleneck in ("spatial", "dense"):
        torch.manual_seed(0)
        model = VAE(VAEConfig(2, bottleneck, (64, 64), channels=(4, 4), latent=6)).eval()
        model.apply(_without_normalisation)
        with torch.no_grad():
            difference = (model(changed).reconstruction - model(x).reconstruction).abs()
        reach[bottleneck] = float(difference[..., 48:, 48:].max())
    assert reach["spatial"] == 0.0
    assert reach["dense"] > 0.0


def _without_normalisation(module):
    # Group normalisation mixes all positions, which would hide what the code does.
    if isinstance(module, torch.nn.GroupNorm):
        module.forward = lambda x: x


@pytest.mark.parametrize(
    "values",
    [
        {"dims": 4, "shape": (16, 16, 16, 16)},
        {"dims": 2, "shape": (16, 16, 16)},
        {"shape": (16, 16, 24)},
        {"shape": (16, 16, 0)},
        {"bottleneck": "round"},
        {"latent": 0},
        {"latent": 2**70},
        {"channels": ()},
        {"channels": (4, 0)},
    ],
)
def test_configurations_that_are_no_network_are_refused(values):
    good = {"dims": 3, "bottleneck": "dense", "shape": (16, 16, 16)}
    VAEConfig(**good)
    with pytest.raises(ValueError, match="must"):
        VAEConfig(**good | values)


def test_input_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="Expected"):
        VAE(small())(torch.zeros(1, 1, 16, 16, 16))
