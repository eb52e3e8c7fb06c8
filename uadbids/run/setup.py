"""From flags to the options of a run, checked.

What has to be in the environment is made ready before nipype, ANTs or torch are imported anywhere.
"""

import errno
import os
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from uadbids.bids.files import write_bytes
from uadbids.errors import UsageError
from uadbids.run.options import RunOptions

SKULL_STRIP = ("auto", "hd-bet", "deepbet", "mask", "none")
# Without one of these devices no program reaches a GPU: NVIDIA's, those of its boards, AMD's, WSL.
_GPUS = ("nvidia*", "nvhost*", "kfd", "dxg")
# A socket's path has at most 107 bytes, and Python's processes add 32 to that of the folder.
_LONGEST_TMPDIR = 75
_NIPYPE_CONFIG = """\
[logging]
workflow_level = {level}
interface_level = {level}
utils_level = {level}
[execution]
crashfile_format = txt
hash_method = content
poll_sleep_duration = 0.1
remove_unnecessary_outputs = false
create_report = false
check_version = false
"""


def prepare_run(
    asked: RunOptions, bids_dir: Path, *, verbose: bool = False, is_dry: bool = False
) -> RunOptions:
    """Check the flags that every command with a graph shares, and prepare the environment.

    A dry run is checked as well, and writes nothing. Returned are device, number of processes and
    weights as they are here. UsageError for an unknown way of skull-stripping, weights that are
    missing, or a work directory inside the dataset or not writable; DeviceError for a GPU that is
    not there.
    """
    work_dir, skull_strip = asked.work_dir, asked.skull_strip
    if skull_strip not in SKULL_STRIP:
        raise UsageError(f"--skull-strip {skull_strip}: choose one of {', '.join(SKULL_STRIP)}")
    if asked.use_plugin is not None and not asked.use_plugin.is_file():
        raise UsageError(f"--use-plugin {asked.use_plugin}: there is no such file")
    if is_inside(work_dir, bids_dir):
        raise UsageError(
            f"the work directory {work_dir} lies inside the dataset; choose another by --work-dir"
        )
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_TMPDIR:
        raise UsageError(
            f"the path of the folder for temporary files, {tempfile.gettempdir()}, is too long for "
            f"sockets (more than {_LONGEST_TMPDIR} bytes); name a shorter one by TMPDIR"
        )
    try:
        if is_dry:
            check_writable(work_dir)
        else:
            work_dir.mkdir(parents=True, exist_ok=True)
            prepare_environment(
                work_dir.resolve(),
                random_seed=asked.random_seed,
                threads=max(1, asked.omp_nthreads),
                verbose=verbose,
            )
    except OSError as error:
        raise UsageError(
            f"the work directory {work_dir} cannot be written ({error.strerror}); choose another "
            "by --work-dir"
        ) from error
    # What an import decides on threads and folders it takes from the environment made above.
    from uadbids.preproc.hd_bet import find_weights, weights_sha256

    # Given weights are checked even where they are not used; only those used are hashed.
    found = find_weights(asked.hd_bet_weights)
    if skull_strip not in ("auto", "hd-bet"):
        found = None
    if skull_strip == "hd-bet" and found is None:
        raise UsageError("HD-BET's weights were not found; give their folder by --hd-bet-weights")
    if found and find_spec("nnunetv2") is None:
        raise UsageError(
            f"HD-BET's weights are in {found}, but HD-BET is not installed; run "
            "pip install 'uadbids[hd-bet]', or choose --skull-strip deepbet"
        )
    return replace(
        asked,
        work_dir=work_dir.resolve(),
        hd_bet_weights=found,
        hd_bet_sha256=weights_sha256(found) if found else "",
        # What this process may use, which in a container or a cluster job is not the machine.
        nprocs=asked.nprocs or len(os.sched_getaffinity(0)),
        device=_device(asked.device),
    )


def check_writable(folder: Path) -> None:
    """Raise OSError where a folder, which need not be there yet, could not be written to."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        is_read_only = os.statvfs(there).f_flag & os.ST_RDONLY
        reason = errno.EROFS if is_read_only else errno.EACCES
        raise OSError(reason, os.strerror(reason), str(there))


def prepare_environment(
    work_dir: Path, *, random_seed: int, threads: int, verbose: bool = False
) -> None:
    """Set variables that worker processes inherit; ``threads`` are OpenMP's in one process.

    - nipype reads its settings from the work directory, which must exist, not from ``$HOME``, which
      may not be there or not be writable, never sends anything, and logs every step if ``verbose``;
    - ITK uses one thread and one seed, else registration and N4 differ from run to run;
    - caches of libraries go to the work directory where ``$HOME`` cannot be written;
    - processes import nothing from the folder that the command happens to be run in;
    - the user has a name, by which nipype calls the jobs of a cluster: one of a container may not.
    """
    folder = work_dir / ".nipype"
    folder.mkdir(exist_ok=True)
    settings = folder / "nipype.cfg"
    # Whole or not at all: another run may share the work directory and read it right now.
    text = _NIPYPE_CONFIG.format(level="INFO" if verbose else "CRITICAL")
    write_bytes(settings, text.encode())
    os.environ.update(
        NO_ET="1",
        NIPYPE_NO_ET="1",
        NIPYPE_CONFIG_DIR=str(folder),
        ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1",
        ANTS_RANDOM_SEED=str(random_seed),
        OMP_NUM_THREADS=str(threads),
        MPLBACKEND="Agg",
        PYTHONSAFEPATH="1",
    )
    os.environ.setdefault("LOGNAME", f"uid{os.getuid()}")
    if not os.access(os.path.expanduser("~"), os.W_OK):
        for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "TORCH_HOME"):
            os.environ.setdefault(name, str(work_dir / ".cache"))


def _device(name: str) -> str:
    """Resolve a device; without torch, which takes a second to import, where there is no GPU."""
    there = (path for pattern in _GPUS for path in Path("/dev").glob(pattern))
    if name == "cpu" or (name == "auto" and next(there, None) is None):
        return "cpu"
    from uadbids.model.inference import resolve_device

    return str(resolve_device(name))


def is_inside(path: Path, parent: Path) -> bool:
    """Return whether a path is a folder or lies below it, links followed."""
    return path.resolve().is_relative_to(parent.resolve())


def lies_in_dataset(path: Path, dataset: Path) -> bool:
    """Return whether a path is in a dataset, but where BIDS has ``derivatives/<pipeline>``."""
    derivatives = (dataset / "derivatives").resolve()
    return is_inside(path, dataset) and (
        path.resolve() == derivatives or not is_inside(path, derivatives)
    )
