"""Bad options, as a user meets them: one line that names the value, a status, and no run.

Each invocation runs in a fork that has everything imported (`tests/forking.py`), some of them in a
process of their own as well.
"""

from tests.commands import ROOT
from tests.forking import real
from tests.project.invocations import (
    DIGITS,
    QUICK,
    Case,
    assert_refused,
    cases,
    file,
    refused,
    runs_of,
    table,
    words_of,
)

COMMAND_LINE = cases(
    {
        "train --bogus 1": "--bogus ... --help",
        "import_results --bogus 1": "--bogus ... --help",
        "ladder --rulez bp": "--rulez ... --rules",
        f"ladder {QUICK} --k 2": "--k ... --ks",
        "toy_lq --dataset digits": "--dataset ... --help",
        "toy_lq --start none": "--start ... --help",
        "frozen_recovery --width 8": "--width ... --help",
        "depth_scan --depth 4": "--depth ... --depths",
        "train --k": "--k ... --help",
        "ladder --rules --ks 0": "0 ... --help",
        "train k=3": "k=3 ... --help",
        "train -k 3": "-k ... --help",
        "ladder --config nowhere.yaml": "config=nowhere.yaml",
    }
)

VALUES = cases(
    {
        "train --rule nosuch": "'nosuch' ... bp, credit_bridge, dfa ... fa, ... oracle",
        "train --rule no.such:Rule": "'no.such:Rule' ... 'no' ... from no.such import Rule",
        "train --k 5": "k=5 ... depth=4",
        "train --depth 2000": "depth=2000 ... 1000",
        "train --precision tf32": "precision=tf32 ... fp32",
        "train --device gpu": "device='gpu'",
        "train --device meta": "device='meta'",
        "train --device cuda:99": "device='cuda:99'",
        "train --rule state_bridge --estimator_depth 100000000": "estimator_depth=100000000",
    }
)
MADE = """
from credit.rules import Rule
class Unmade(Rule):
    def __init__(self, how):
        self.how = how
class Counting(Rule):
    calls = 0
    def credit(self, state, trace):
        self.calls += 1
        return [trace.grad_out for _ in trace.hiddens]
"""
RULES = [
    Case("train --rule torn:Rule", "'torn:Rule'", file("torn.py", "def")),
    Case("train --rule exits:Rule", "SystemExit", file("exits.py", "raise SystemExit")),
    Case("train --rule loud:Rule", "one two", file("loud.py", "raise ValueError('one\\ntwo')")),
    Case(f"ladder {QUICK} --rules bp,made:Unmade", "'made:Unmade' ... how", file("made.py", MADE)),
    Case(f"audit {QUICK} --rule made:Counting", "made:Counting ... calls", file("made.py", MADE)),
]

GRIDS = cases(
    {
        "ladder --preset quik": "'quik' ... 'quick'",
        "ladder --preset quick --ks 9": "k=9 ... depth=4",  # after the data are found missing
        f"ladder {QUICK} --ks ''": "ks=''",
        f"ladder {QUICK} --rules bp,,fa": "rules='bp,,fa'",
        f"ladder {QUICK} --rules bp,dfa --rule_option k=3": "k=3",
        f"ladder {QUICK} --seeds 42,4.2": "seeds='4.2'",
        f"ladder {QUICK} --seeds 42,042": "seeds='42,042' ... twice",
        f"direction_quality {QUICK} --penalties 0,nan": "penalties=nan",
        f"direction_quality {QUICK} --penalties -1,0": "penalties=-1.0",
        f"depth_scan {QUICK} --depths 2,two": "depths='two'",
        f"method_comparison {QUICK} --rules ''": "rules=''",
        "reproduce --only ladders": "'ladders'",
        f"protocol {QUICK} --arms fresh": "'fresh'",
        f"atlas {QUICK} --rules bp,bq": "unknown rule 'bq'",
        f"atlas {QUICK} --network vit": "unknown network 'vit'",
        "boundary_ablation --codes et": "'et' ... eT, deltaL, eT_hL",
        "nonlinearity_ladder --alphas 2": "alphas=2.0",
        "nonlinearity_ladder --field_alphas 0.3": "field_alphas=0.3",
        "vector_audit --arms M5": "'M5' ... M8, M16",
        "toy_lq --tgws ''": "tgws=''",
        "toy_lq --train_samples 0": "train_samples=0",
        "toy_lq --width 1": "width=1",
        "toy_lq --precision bf16": "precision=bf16 ... fp32",
        f"frozen_recovery {QUICK} --networks 256": "networks='256'",
        f"frozen_recovery {QUICK} --networks 256x4,256x04": "256x4,256x04 ... twice",
        f"frozen_recovery {QUICK} --reference_epochs 0": "epochs=0 ... 1",
        f"online_scan {QUICK} --arms dfa": "arms=dfa",
        f"online_scan {QUICK} --warmups 0,2": "warmups=2.0",
        f"matched_controls {QUICK} --controls none": "'none' ... base",
        f"matched_controls {QUICK} --control_penalty much": "penalty='much'",
        "matched_controls --dataset toy_lq": "dataset=toy_lq ... digits",
        f"credit_scale {QUICK} --epss 0,-1": "epss=-1.0",
        f"credit_scale {QUICK} --epss 1e-6,0.000001": "epss ... twice",
        f"credit_scale {QUICK} --reductions mean,published": "reductions=mean,published",
        f"credit_scale {QUICK} --rules fa,state_bridge": "state_bridge",
        f"frozen_init {DIGITS} --samples 0": "samples=0",
        f"frozen_init {DIGITS} --samples 361": "samples=361 ... 360",
        f"audit {QUICK} --rule dfa --controls nosuch": "'nosuch'",
        "audit": "rule= ... --rule",
        "audit --run_id x --rule dfa": "rule=dfa ... run_id",
        f"audit {QUICK} --rule bp,fa": "rule='bp,fa'",
        f"audit {QUICK} --rule fa --ks 0,1": "ks=0,1 ... 4",
        "report --kind nosuch": "'nosuch' ... audit, boundary_ablation",
        "remeasure --measurements alignmnt": "'alignmnt' ... 'alignment'",
        "export --kind online": "'online' ... 'online_scan'",
    }
)

TOO_LARGE = cases(
    {
        f"train {DIGITS} --width 1000000": "width=1000000 ... GB",
        f"train {DIGITS} --batch_size 1000000000": "batch_size=1000000000 ... GB",
        f"train {DIGITS} --directions 1000000000": "directions=1000000000 ... GB",
        f"train {DIGITS} --rule credit_bridge --draws 1000000000": "draws=1000000000 ... GB",
        f"ladder {QUICK} --width 1000000": "width=1000000 ... GB",
        "toy_lq --width 1000000": "width=1000000 ... GB",
        "toy_lq --measure_samples 1000000000": "measure_samples=1000000000 ... GB",
        f"frozen_init {DIGITS} --width 1000000": "width=1000000 ... GB",
        f"frozen_recovery {QUICK} --estimator_width 100000000": "estimator_width=100000000 ... GB",
    }
)


CASES = [*COMMAND_LINE, *VALUES, *RULES, *GRIDS, *TOO_LARGE]


@table(CASES)
def test_bad_options_are_one_line_a_status_and_no_run(case, world, forks):
    refused(case, world, forks)
    if case in RULES:  # which are tried before anything is written
        assert not (world.folder / "state").exists()


@table([COMMAND_LINE[0], VALUES[0], TOO_LARGE[0], Case("report", "'ladder'")])
def test_a_process_of_its_own_does_as_a_fork(case, world, forks):
    before = runs_of(world.folder)
    done = real(case.script, words_of(case, world), world.env, world.folder)
    assert_refused(done, case, world, before)
    fork = refused(case, world, forks)
    if case not in TOO_LARGE:  # there the line has the memory that is free at that moment
        assert done == fork


def test_the_table_knows_every_entry_point():
    scripts = {path.stem for path in (ROOT / "entrypoints").glob("*.py")}
    assert {case.script for case in CASES} == scripts
