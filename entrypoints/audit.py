"""The audit of one rule, or with run_id of one finished run, of which nothing is trained."""

from credit import cli
from credit.errors import CreditError
from credit.experiments.audit import EXPERIMENT

NONE = "none"
DEFAULTS = {**cli.defaults_of(EXPERIMENT), "run_id": NONE, "trust_rules": NONE}
HELPS = {
    **cli.helps_of(EXPERIMENT),
    "run_id": "a finished run to measure again and judge, in place of all training",
    "trust_rules": f"{cli.TRUST}; with run_id",
}


def main() -> int:
    """Audit a rule, or a run.

    Raises:
        CreditError: an option does not go with the other.
    """
    given = cli.options(cli.document(EXPERIMENT), DEFAULTS, HELPS)
    run_id, trusted = given.pop("run_id"), given.pop("trust_rules")
    if run_id == NONE:
        if trusted != NONE:
            raise CreditError("trust_rules is of a run that is audited: pass --run_id, too")
        from credit.sweep.launch import launch  # here: it loads torch

        return launch(EXPERIMENT, given, cli.place_of(EXPERIMENT, given))
    for name, value in given.items():
        if value != DEFAULTS[name]:
            raise CreditError(f"{name}={value} does not go with run_id: leave out one of the two")
    from credit.finished.auditing import audit_run

    print(audit_run(run_id, cli.trusted(trusted)))
    return 0


if __name__ == "__main__":
    cli.run(main)
