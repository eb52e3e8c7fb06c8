"""`uadbids BIDS_DIR OUTPUT_DIR participant`."""

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags
from uadbids.cli.flags import opt


def participant(
    context: typer.Context,
    bids_dir: flags.BidsDir,
    output_dir: flags.OutputDir,
    participant_label: flags.ParticipantLabels = None,
    session_label: flags.SessionLabels = None,
    bids_filter_file: flags.FilterFile = None,
    bids_database_dir: flags.DatabaseDir = None,
    skip_bids_validation: flags.SkipValidation = False,
    model: flags.Model = "dense3d",
    threshold: flags.Threshold = None,
    false_positive_rate: flags.FalsePositiveRate = None,
    sensitivity: flags.Sensitivity = None,
    residual: flags.Residual = None,
    min_size_mm3: flags.MinSize = None,
    output_spaces: Annotated[
        list[str] | None, opt("orig (always written), and template (default: both).")
    ] = None,
    keep_artefacts: flags.KeepArtefacts = True,
    longitudinal: Annotated[
        bool, opt("Compare the sessions of each participant, too.", "--longitudinal")
    ] = False,
    skull_strip: flags.SkullStrip = "auto",
    hd_bet_weights: flags.HdBetWeights = None,
    device: flags.Device = "auto",
    work_dir: flags.WorkDir = Path("work"),
    clean_workdir: Annotated[
        bool, opt("Remove intermediate results of scans that are done.", "--clean-workdir")
    ] = False,
    nprocs: flags.Procs = None,
    omp_nthreads: flags.Threads = None,
    mem_mb: Annotated[int | None, opt("Memory to plan with.", min=1000)] = None,
    use_plugin: Annotated[Path | None, opt("nipype plugin file (YAML), for a cluster.")] = None,
    stop_on_first_crash: Annotated[
        bool, opt("End the run at the first failure.", "--stop-on-first-crash")
    ] = False,
    random_seed: flags.Seed = flags.DEFAULT_SEED,
    config_file: flags.ConfigFile = None,
    verbose: flags.Verbose = False,
    write_graph: Annotated[
        bool, opt("Write the graph of steps (.dot) and go on.", "--write-graph")
    ] = False,
    dry_run: Annotated[
        bool, opt("Show what would run, and why not; compute nothing.", "--dry-run")
    ] = False,
    as_json: Annotated[bool, opt("With --dry-run: print JSON.", "--json")] = False,
    reports_only: Annotated[
        bool, opt("Make the pages again from the outputs.", "--reports-only")
    ] = False,
    boilerplate_only: Annotated[
        bool, opt("Write the methods text (logs/CITATION.*) alone.", "--boilerplate-only")
    ] = False,
    notrack: flags.NoTrack = False,
) -> None:
    """Write anomaly maps and masks of findings of every FLAIR of a BIDS dataset."""
    from uadbids.run import pages
    from uadbids.run import participant as command

    settings = flags.detection(context)
    options = command.ParticipantOptions(
        bids_dir=bids_dir.absolute(),
        output_dir=output_dir.absolute(),
        participant_labels=tuple(participant_label or ()),
        session_labels=tuple(session_label or ()),
        filter_file=bids_filter_file,
        database_dir=bids_database_dir,
        model=model,
        settings=settings,
        spaces=tuple(output_spaces or command.SPACES),
        keep_artefacts=keep_artefacts,
        clean_work_dir=clean_workdir,
        longitudinal=longitudinal,
        request=flags.request(context),
    )
    bundle, card = command.check(options)
    if reports_only:
        raise typer.Exit(pages.remake_pages(options, card))
    if boilerplate_only:
        pages.write_boilerplate(options, card)
        return
    scans = options.find()
    from uadbids.run.setup import prepare_run

    run = prepare_run(flags.run_options(context), bids_dir, verbose=verbose, is_dry=dry_run)
    if dry_run:
        from uadbids.run import plan

        wanted = plan.settings_of(card, run, settings)
        entries = plan.plan(scans, options.bids_dir, options.output_dir, wanted, run)
        typer.echo(plan.show(entries, as_json=as_json))
        return
    raise typer.Exit(command.participant(options, scans, bundle, card, run))
