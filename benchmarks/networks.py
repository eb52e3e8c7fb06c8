"""Ways to run the networks on a CPU: torch as it is, and what promises to be faster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import torch
from stages import BUNDLE, Stages
from torch import nn

from uadbids.detection.examine import examine
from uadbids.detection.threshold import choose_threshold
from uadbids.model.bundle import load_bundle
from uadbids.model.vae import VAE, VAEOutput

CPU = torch.device("cpu")
Change = Callable[[nn.Module, tuple[int, ...]], Callable[[torch.Tensor], Any]]


def eager(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
    """Run the network as it is."""
    return network


def channels_last(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
    """Keep the channels of a voxel together in memory."""
    layout = torch.channels_last_3d if len(shape) == 5 else torch.channels_last
    network = network.to(memory_format=layout)
    return lambda x: network(x.to(memory_format=layout))


def compiled(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
    """Use ``torch.compile``."""
    return torch.compile(network)


def frozen(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
    """Freeze TorchScript and prepare it for inference."""
    return torch.jit.optimize_for_inference(torch.jit.freeze(network.eval()))


def bfloat16(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
    """Compute in half of the bits."""
    network = network.to(torch.bfloat16)
    return lambda x: network(x.to(torch.bfloat16))


def int8(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
    """Keep the dense layers in 8 bits; for convolutions torch has no such way without training."""
    return torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)


def openvino(precision: str) -> Change:
    """Convert to OpenVINO, for one thread."""

    def convert(network: nn.Module, shape: tuple[int, ...]) -> Callable[[torch.Tensor], Any]:
        # Nothing is to be told to anybody.
        sys.modules["openvino_telemetry"] = None
        import openvino

        converted = openvino.convert_model(network, example_input=torch.zeros(shape))
        converted.reshape(list(shape))
        hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
        run = openvino.compile_model(converted, "CPU", hints)
        return lambda x: torch.from_numpy(run(x.numpy())[0])

    return convert


class Plain(nn.Module):
    """A network of which the reconstruction alone is wanted, as a tensor."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct."""
        return self.model(x).reconstruction


class Timed(nn.Module):
    """A network that is run in another way, and how long each call took."""

    def __init__(self, network: nn.Module, change: Change, *, double: bool = False) -> None:
        super().__init__()
        self.network, self.change, self.double = network, change, double
        self.ways: dict[tuple[int, ...], Callable[[torch.Tensor], Any]] = {}
        self.seconds = self.making = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run; what is made for a shape at first, compiled or converted, is not counted."""
        shape = tuple(x.shape)
        with torch.no_grad():
            if shape not in self.ways:
                started = time.process_time()
                self.ways[shape] = self.change(self.network, shape)
                self.ways[shape](x)
                self.making += time.process_time() - started
            started = time.process_time()
            found = self.ways[shape](x)
            self.seconds += time.process_time() - started
        return found.float()


class Reconstruction:
    """Our network in some way; stands in for it in `examine`."""

    def __init__(self, bundle: str, change: Change) -> None:
        found = load_bundle(BUNDLE.with_name(bundle), device="cpu")
        self.card, self.config = found.card, found.model.config
        self.threshold = choose_threshold(found.calibration, found.card.detection)[1]
        self.timed = Timed(Plain(found.model), change)

    def __call__(self, x: torch.Tensor) -> VAEOutput:
        """Reconstruct."""
        return VAEOutput(self.timed(x), x, x)

    def run(self, stages: Stages) -> tuple[float, np.ndarray]:
        """Return the seconds of the network and the anomaly map."""
        before = self.timed.seconds
        volume = np.asarray(nib.load(stages.files["volume"]).dataobj, dtype=np.float32)
        mask = np.asarray(nib.load(stages.files["template_brain"]).dataobj)
        found = examine(volume, mask, self, self.card.crop, self.card.detection, device=CPU)  # type: ignore[arg-type]
        return self.timed.seconds - before, found.anomaly_map


def reconstructions(bundle: str, change: Change, scans: list[Stages]) -> dict[str, Any]:
    """Seconds and maps of all scans, the threshold, and what making the network ready took."""
    torch.set_num_threads(1)
    model = Reconstruction(bundle, change)
    found = [model.run(stages) for stages in scans]
    return {
        "seconds": [seconds for seconds, _ in found],
        "values": [image for _, image in found],
        "threshold": model.threshold,
        "making": model.timed.making,
    }


def brains(change: Change, scans: list[Stages]) -> dict[str, Any]:
    """Seconds and masks of deepbet with its networks run in some way."""
    from deepbet import BrainExtraction

    torch.set_num_threads(1)
    bet = BrainExtraction(no_gpu=True)
    bet.model, bet.bbox_model = Timed(bet.model, change), Timed(bet.bbox_model, change)
    seconds, masks = [], []
    for stages in scans:
        made = bet.model.making + bet.bbox_model.making
        started = time.process_time()
        _, mask, _ = bet.run(nib.load(stages.files["conformed"]))
        used = time.process_time() - started
        seconds.append(used - (bet.model.making + bet.bbox_model.making - made))
        masks.append(np.asarray(mask.dataobj) > 0)
    return {
        "seconds": seconds,
        "values": masks,
        "making": bet.model.making + bet.bbox_model.making,
    }


RECONSTRUCTION: dict[str, Change] = {
    "torch (ours)": eager,
    "channels last": channels_last,
    "torch.compile": compiled,
    "bfloat16": bfloat16,
    "int8, dense layers": int8,
    "OpenVINO, float32": openvino("f32"),
    "OpenVINO, bfloat16": openvino("bf16"),
}
BRAIN: dict[str, Change] = {
    "deepbet, torch (ours)": eager,
    "deepbet, frozen": frozen,
    "deepbet, channels last": channels_last,
    "deepbet, bfloat16": bfloat16,
    "deepbet, OpenVINO, float32": openvino("f32"),
    "deepbet, OpenVINO, bfloat16": openvino("bf16"),
}
