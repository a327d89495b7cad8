"""The audit of a rule: the whole protocol; with run_id, of a finished run without any training."""

from typing import Any

from credit.commands import experiment
from credit.commands.base import TRUST_HELP, Command, option, trusted
from credit.errors import CreditError
from credit.experiments import audit

NONE = "none"
OWN = (
    option("run_id", NONE, "a finished run to measure again and judge, in place of all training"),
    option("trust_rules", NONE, f"{TRUST_HELP}; with run_id"),
)


def run(run_id: str, trust_rules: str, **given: Any) -> int:
    """Audit a rule, or a run; refuse an option that does not go with the other."""
    if run_id == NONE:
        if trust_rules != NONE:
            raise CreditError("trust_rules is of a run that is audited: pass --run_id, too")
        return experiment.run(audit.EXPERIMENT, given)
    default = {own.name: own.default for own in COMMAND.params}
    for name, value in given.items():
        if value not in (default[name], False):
            raise CreditError(f"{name}={value} does not go with run_id: leave out one of the two")
    from credit.finished.auditing import audit_run

    print(audit_run(run_id, trusted(trust_rules)))
    return 0


_COMMAND = experiment.command(audit.EXPERIMENT.kind)
COMMAND = Command("audit", params=[*OWN, *_COMMAND.params], help=_COMMAND.help, callback=run)
