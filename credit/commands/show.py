"""Show one rule: what it is, its source and formula, and the options that it reads."""

import inspect
import json as as_json

from credit.commands.base import argument, command, flag
from credit.lab.table import terminal

OPTIONS = (argument("rule"), flag("json", "print JSON"))


@command("show", *OPTIONS, doc=__doc__)
def COMMAND(rule: str, json: bool) -> None:
    import pandas as pd

    from credit import rules  # here: it loads torch
    from credit.spec import RunSpec

    found = rules.get(rule)
    kind = type(found)
    about = [inspect.getdoc(inspect.getmodule(kind)), inspect.cleandoc(kind.__doc__ or "")]
    defaults = RunSpec(rule=rule).to_params()
    read = {name: defaults[name] for name in sorted(rules.knobs(rule)) if name in defaults}
    facts = {
        "rule": rule,
        "file": inspect.getsourcefile(kind),
        "about": "\n\n".join(text for text in about if text),
        "takes from the weights": found.transports,
        "reads": read,
    }
    if json:
        print(as_json.dumps(facts, indent=2))
        return
    print(f"{facts['about']}\n")
    print(f"Takes from the weights: {found.transports}\nFile: {facts['file']}")
    if read:
        print(f"\n{terminal(pd.DataFrame(read.items(), columns=['option', 'default']))}")
