"""The depth-utility ladder: rules x trainable blocks x seeds."""

import argparse

from credit.spec import RunSpec
from credit.sweep import Sweep, run
from credit.tracking.store import open_store

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rules", default="bp,oracle,fa,dfa")
parser.add_argument("--ks", default="0,1,2,3,4")
parser.add_argument("--seeds", default="42,123,456")
args = parser.parse_args()
specs = [
    RunSpec(rule=rule, k=int(k), seed=int(seed))
    for rule in args.rules.split(",")
    for k in args.ks.split(",")
    for seed in args.seeds.split(",")
]
params = {"rules": args.rules, "ks": args.ks, "seeds": args.seeds, "preset": "published"}
run(Sweep("ladder", "ladder cifar10 d256 L4", specs, params), open_store())
