"""What can be made again from the outputs that are there, without any computation."""

from contextlib import suppress
from datetime import UTC, datetime

from rich.console import Console

from uadbids.bids.dataset import MODEL_CARD
from uadbids.bids.derivatives import finished_scans, verify_outputs
from uadbids.bids.files import locked, read_json
from uadbids.errors import UsageError
from uadbids.model.bundle import Card
from uadbids.model.card import parse_card
from uadbids.run.pages import write_methods, write_pages
from uadbids.run.participant import ParticipantOptions, write_top_level
from uadbids.run.runlog import run_log, say


def remake_pages(options: ParticipantOptions, card: Card) -> int:
    """Make tables and pages again from the outputs that are there (``--reports-only``).

    They describe the model that made the outputs, whichever `card` this run would have taken.
    Every output is compared with the hashes that were written with it.

    Returns
    -------
    int
        Exit status: 0, or 1 when an output is not as it was written.
    """
    card = _card_of_outputs(options, card)
    subjects = sorted({scan.subject for scan in finished_scans(options.output_dir)})
    if not subjects:
        raise UsageError(f"{options.output_dir}: there is no finished scan to report on")
    with run_log(options.output_dir, options.request) as log:
        log.status = _remake(options, card, subjects)
    return log.status


def _remake(options: ParticipantOptions, card: Card, subjects: list[str]) -> int:
    with locked(options.output_dir):
        write_top_level(options, card)
        write_pages(options.output_dir, card, subjects, {}, datetime.now(UTC))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    verdicts = verify_outputs(options.output_dir, options.bids_dir)
    altered = {name: wrong for name, wrong in verdicts.items() if wrong}
    for name, wrong in altered.items():
        say(console, f"{name}: not as it was written: {'; '.join(wrong)}")
    say(console, f"verified: {len(verdicts) - len(altered)} of {len(verdicts)}")
    return 1 if altered else 0


def write_boilerplate(options: ParticipantOptions, card: Card) -> None:
    """Write the methods text alone (``--boilerplate-only``): of the finished scans, or of defaults.

    Raises
    ------
    UsageError
        When the output folder cannot be written.
    """
    try:
        write_methods(options.output_dir, _card_of_outputs(options, card))
    except OSError as error:
        raise UsageError(
            f"the output folder {options.output_dir} cannot be written ({error.strerror})"
        ) from error


def _card_of_outputs(options: ParticipantOptions, card: Card) -> Card:
    """Return the card of the model that made the outputs which are there, else `card`."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return parse_card(read_json(options.output_dir / MODEL_CARD))
    return card
