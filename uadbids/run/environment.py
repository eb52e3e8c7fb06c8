"""What has to be in the environment before nipype, ANTs or torch are imported anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from uadbids.bids.files import write_bytes

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
