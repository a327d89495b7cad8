"""Train one run: one credit rule, one k, one seed."""

from credit import cli, grid, rule_options, rules
from credit.experiment import conduct
from credit.spec import SETTLED_FIELDS, RunSpec
from credit.sweep import Sweep, resolve

DEFAULTS = {n: v for n, v in RunSpec().to_params().items() if n not in SETTLED_FIELDS}


def main() -> int:
    """Train it and say where it is."""
    given = cli.options(__doc__, DEFAULTS, cli.spec_helps())
    asked = RunSpec.from_mapping(given)
    rule_options.check_taken({asked.rule: rules.get(asked.rule)}, asked.rule_option)
    spec = resolve(asked)
    grid.tell_unread(given, [spec.rule])
    return conduct(
        Sweep(
            kind="train",
            name=f"train {spec.name}",
            specs=[spec],
            params=spec.to_params(),
            description=f"One run on {spec.dataset}, credit rule {spec.rule}.",
        )
    )


if __name__ == "__main__":
    cli.run(main)
