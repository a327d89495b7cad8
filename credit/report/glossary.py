"""What the symbols of a report mean; only those that it uses are shown."""

import re

MEANINGS = {
    "k": "trainable residual blocks, counted from the last; k = L trains all",
    "L": "residual blocks of the network",
    "d": "units of a hidden state",
    "h_l": "hidden state after l blocks; h_0 is the embedding, h_L the last",
    "n": "seeds behind a number; ± is the sample standard deviation over them (ddof 1)",
    "points": "hundredths of accuracy",
    "Γ": "alignment: mean cosine of the credit a_l and the exact gradient g_l per sample, mean "
    "over h_1 … h_L unless a layer is named",
    "l < L": "mean over h_1 … h_{L−1}: without h_L, where many rules are given the exact gradient",
    "g_L passed back": "Γ of the control that hands the output's own gradient back unchanged: what "
    "the skip path alone explains",
    "ρ": "correlation of the loss changes that the credit predicts for small random steps of a "
    "hidden state with those that happen",
    "nudge": "loss change after a small step of a hidden state against its credit; below 0 is good",
    "fit": "share of its target that an estimator misses; 1 is as good as predicting 0",
    "S1": "Γ minus that of dfa with the same seed",
    "S2": "ρ minus that of dfa with the same seed",
    "λ": "weight of the penalty on the residual branches",
    "α": "share of tanh in the blocks' nonlinearity",
    "tgw": "weight of terminal gradient matching",
    "eps": "ε of norm(v) = v / (rms(v) + ε), which gives every credit one length",
    "D1": "no block lets the hidden state grow by more than a fixed factor",
    "D2": "the exact gradient at h_L is above the floor of rounding",
    "D3": "training all blocks gains a margin of accuracy over training none, where bp does",
    "direction": "|cos| at the middle layer: poor, mediocre or reasonable; undefined unless D2 "
    "holds",
    "shape": "climbs, is flat or falls",
    "oracle_share": "the rule's gain from k = 0 to k = L over the oracle's",
    "reported": "by the experiment's authors, or by whom a note names",
    "FLOP": "of matrix products: twice the multiply-adds",
}


def used(texts: str) -> list[tuple[str, str]]:
    """The symbols that occur in a report's texts, with their meanings."""
    return [
        (symbol, meaning)
        for symbol, meaning in MEANINGS.items()
        if re.search(rf"(?<![^\W_]){re.escape(symbol)}(?![^\W\d_])", texts)
    ]
