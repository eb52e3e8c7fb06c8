"""Seconds of GPU work a scan, alone and many together, and which share of the GPU's peak that is.

``python benchmarks/gpu.py [--device cuda] [--bundle dense3d]`` needs torch, numpy, scipy and
safetensors alone. *Peak* is the bfloat16 matrix product of 8192 x 8192 on the same device, measured
before; multiplications and additions of the networks are counted by torch. Training steps are
``benchmarks/training_step.py --device cuda``.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from uadbids.model.bundle import find_bundle, load_bundle
from uadbids.model.folded import FoldedReader
from uadbids.model.inference import resolve_device
from uadbids.model.vae import as_images

READER_BOX = (144, 184, 144)
"""Voxels that the reader sees of a brain of usual size."""
BATCHES = (1, 2, 4, 8, 16)
PASSES = 6
_MATRIX = 8192


def seconds(body: Callable[[], Any], device: torch.device) -> float:
    """Median time of a call, the first two left out."""
    taken = []
    for _ in range(PASSES + 2):
        _wait(device)
        start = time.perf_counter()
        body()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[2:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device) -> float:
    """Operations a second of a large matrix product in bfloat16."""
    size = _MATRIX if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device)


@torch.inference_mode()
def main() -> None:
    """Print one row for each network, precision and number of scans."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--bundle", default="dense3d")
    parser.add_argument("--batches", type=int, nargs="*", default=BATCHES)
    args = parser.parse_args()
    device = resolve_device(args.device)
    bundle = load_bundle(find_bundle(args.bundle), device=device)
    best = peak(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}; bfloat16 matrix product {best / 1e12:.0f} TFLOP/s")
    print("\n| network | precision | scans together | ms a scan | share of peak | memory, GB |")
    print("|---" * 6 + "|")
    networks = [(args.bundle, lambda x: bundle.model(x).reconstruction, bundle.card.crop.shape)]
    if bundle.reader is not None:
        networks.append(("reader", FoldedReader(bundle.reader), READER_BOX))
    for label, network, shape in networks:
        for precision in ("float32", "TF32", "bfloat16"):
            for count in args.batches:
                if label == "reader":
                    x = torch.randn(count, bundle.reader.config.inputs, *shape, device=device)
                else:
                    scans = torch.rand(count, 1, *shape, device=device)
                    x = as_images(bundle.model.config, scans)
                row = measure(network, x, precision, device)
                each, operations, memory = row[0] / count, row[1] / count, row[2]
                share = operations / each / best
                print(
                    f"| {label} | {precision} | {count} | {1000 * each:.1f} | {share:.3f} "
                    f"| {memory:.1f} |",
                    flush=True,
                )


def measure(
    network: Callable[[torch.Tensor], Any], x: torch.Tensor, precision: str, device: torch.device
) -> tuple[float, float, float]:
    """Seconds and operations of a call, and the peak memory in GB, input and weights included."""
    # On a GPU torch's convolutions are TF32 unless told otherwise, and so are the program's.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"

    def call() -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return network(x)

    with FlopCounterMode(display=False) as counter:
        call()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    taken = seconds(call, device)
    memory = torch.cuda.max_memory_allocated(device) / 1024**3 if device.type == "cuda" else 0.0
    return taken, counter.get_total_flops(), memory


if __name__ == "__main__":
    main()
