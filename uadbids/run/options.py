"""Frozen options that a whole run shares; levels make them, graphs read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from uadbids.pipeline.records import Compute, PreprocessOptions
from uadbids.preproc.config import PreprocConfig
from uadbids.run.runlog import new_run_uuid

# Those that extract brains, correct intensities and register: their updates change results.
_ENGINES = ("antspyx", "deepbet")


@dataclass(frozen=True)
class RunOptions:
    """How to run, apart from what a model's card says.

    Attributes
    ----------
    work_dir : Path
        Where intermediate results are kept, so that a second run goes on from them.
    skull_strip : str
        ``auto``, ``hd-bet``, ``deepbet``, ``mask`` or ``none``.
    hd_bet_weights, hd_bet_sha256 : Path or None, and str
        Folder with HD-BET's weights, and their hash; others make other masks.
    device : str
        Where networks run: ``cpu`` or ``cuda[:N]``, already resolved.
    nprocs, omp_nthreads, mem_mb : int
        Steps that run at the same time, CPU threads of one, memory that all may plan with.
    use_plugin : Path or None
        nipype plugin file (YAML) for a cluster.
    random_seed : int
        Seed of ITK's samplers.
    stop_on_first_crash, write_graph : bool
        End at the first failure; write the graph of steps into the work directory.
    run_uuid : str
        Names the run: the folder of its log, and those of crash files.
    """

    work_dir: Path
    skull_strip: str = "auto"
    hd_bet_weights: Path | None = None
    hd_bet_sha256: str = ""
    device: str = "cpu"
    nprocs: int = 1
    omp_nthreads: int = 1
    mem_mb: int | None = None
    use_plugin: Path | None = None
    random_seed: int = 20210301
    stop_on_first_crash: bool = False
    write_graph: bool = False
    run_uuid: str = field(default_factory=new_run_uuid, compare=False)

    @property
    def compute(self) -> Compute:
        """Where networks run; on a GPU of this machine one at a time, however many scans run."""
        alone = self.device != "cpu" and self.use_plugin is None
        return Compute(
            self.device, self.omp_nthreads, self.work_dir / ".gpu-turn" if alone else None
        )

    def preprocess(self, config: PreprocConfig) -> PreprocessOptions:
        """Return what preprocessing with a model's settings is asked for."""
        return PreprocessOptions(
            config,
            self.skull_strip,
            self.hd_bet_weights,
            self.hd_bet_sha256,
            self.random_seed,
            tuple(version(name) for name in _ENGINES),
            self.compute,
        )
