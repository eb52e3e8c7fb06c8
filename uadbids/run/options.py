"""Frozen options that a whole run shares; levels make them, graphs read them."""

from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Self

from uadbids.bids.names import log_dir
from uadbids.bids.query import find_scans, read_filters
from uadbids.bids.scan import Scan
from uadbids.pipeline.records import Compute, DeriveOptions, DetectOptions, PreprocessOptions
from uadbids.preproc.config import PreprocConfig
from uadbids.run.runlog import NO_REQUEST, Request, new_run_uuid, say, terminal

# Those that extract brains, correct intensities and register: their updates change results.
_ENGINES = ("antspyx", "deepbet")
# Networks of this size gain little from more.
_MOST_THREADS = 8


@dataclass(frozen=True)
class StudyOptions:
    """Which scans of a dataset, and where their outputs lie or go."""

    bids_dir: Path
    output_dir: Path
    participant_labels: tuple[str, ...] = ()  # with or without "sub-"; empty for all
    session_labels: tuple[str, ...] = ()  # with or without "ses-"; empty for all
    filter_file: Path | None = None  # pybids filters
    database_dir: Path | None = None  # index of pybids
    request: Request = NO_REQUEST

    def find(self) -> list[Scan]:
        """Find the FLAIR scans that are asked for."""
        return find_scans(
            self.bids_dir,
            participant_label=self.participant_labels or None,
            session_label=self.session_labels or None,
            filters=read_filters(self.filter_file) if self.filter_file else None,
            database_dir=self.database_dir,
            note=partial(say, terminal()),
        )


@dataclass(frozen=True)
class RunOptions:
    """How to run, apart from what a model's card says."""

    work_dir: Path  # intermediate results, from which a second run goes on
    skull_strip: str = "auto"  # or "hd-bet", "deepbet", "mask", "none"
    hd_bet_weights: Path | None = None  # folder
    hd_bet_sha256: str = ""  # of the weights: others make other masks
    device: str = "cpu"  # or "cuda[:N]"; "auto" before `setup.prepare_run`
    nprocs: int = 1  # steps at the same time; 0 before `setup.prepare_run` for all CPUs
    omp_nthreads: int = 0  # CPU threads of one step; 0 before `for_scans`
    mem_mb: int | None = None  # that all steps may plan with
    use_plugin: Path | None = None  # nipype plugin file (YAML) for a cluster
    random_seed: int = 20210301  # of ITK's samplers
    stop_on_first_crash: bool = False
    write_graph: bool = False  # of steps, into the work directory
    run_uuid: str = field(default_factory=new_run_uuid, compare=False)  # names log and crash files

    @property
    def compute(self) -> Compute:
        """Where networks run; on a GPU of this machine one at a time, however many scans run."""
        alone = self.device != "cpu" and self.use_plugin is None
        return Compute(
            self.device, max(1, self.omp_nthreads), self.work_dir / ".gpu-turn" if alone else None
        )

    def for_scans(self, number: int) -> Self:
        """Give each of some scans the CPUs that no other scan needs, unless threads were given."""
        spare = self.nprocs // max(1, number) if self.use_plugin is None else 1
        return replace(self, omp_nthreads=self.omp_nthreads or max(1, min(spare, _MOST_THREADS)))

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


@dataclass(frozen=True)
class Examination:
    """What is the same for every scan of a run: options of the three nodes of a scan, and more."""

    bids_dir: Path
    run: RunOptions
    preprocess: PreprocessOptions
    detect: DetectOptions
    derive: DeriveOptions
    clean: bool = False  # the intermediate results of a scan go once its outputs are written

    def log_dir(self, subject: str) -> Path:
        """Return where the crash files of a participant go."""
        return self.derive.output_dir / log_dir(subject, self.run.run_uuid)
