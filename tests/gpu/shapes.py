"""Models, inputs and ways of computing; see run.sh."""

import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
LETTERS = "ACDEFGHIKLMNPQRSTVWY"

ESM2 = {
    "architectures": ["EsmForMaskedLM"], "model_type": "esm", "vocab_size": 33, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 1026, "position_embedding_type": "rotary", "emb_layer_norm_before": False,
    "token_dropout": True, "mask_token_id": 32, "pad_token_id": 1, "initializer_range": 0.02,
}
LC_PLM = json.loads((FIXTURES / "models" / "lc_plm_tiny_random.config.json").read_text())


def esm2(layers, width, heads):
    return {**ESM2, "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads,
            "intermediate_size": 4 * width}


def lc_plm(layers, width, states):
    return {**LC_PLM, "d_model": width, "n_layer": layers,
            "ssm_cfg": {"layer": "Mamba1", "d_state": states, "d_conv": 4, "expand": 2, "dt_rank": "auto"}}


class Shape:
    """A configuration; tokens to time, and to compare with the processor (none where that would take long); seconds that all
    of it takes at most, the making of the model apart; whether the plain attention is timed as well."""

    def __init__(self, config, tokens, compared, seconds, plain=True):
        self.config, self.tokens, self.compared, self.seconds, self.plain = config, tokens, compared, seconds, plain
        self.is_esm2 = config["model_type"] == "esm"


SHAPES = {
    "650M": Shape(esm2(33, 1280, 20), 1_500_000, 3_000, 90),
    "8M": Shape(esm2(6, 320, 20), 6_000_000, 20_000, 45),
    "150M": Shape(esm2(30, 640, 20), 3_000_000, 10_000, 60),
    "lc_plm": Shape(lc_plm(48, 1536, 16), 1_000_000, 2_000, 75),
    "3B": Shape(esm2(36, 2560, 40), 500_000, 0, 100, plain=False),
}

# The same parts with next to nothing to do. Head widths are those of the true shapes.
TINY = {
    "650M": Shape(esm2(1, 64, 1), 400, 100, 1),
    "8M": Shape(esm2(1, 32, 2), 400, 100, 1),
    "150M": Shape(esm2(1, 32, 1), 400, 100, 1),
    "lc_plm": Shape(lc_plm(1, 16, 8), 200, 100, 1),
    "3B": Shape(esm2(1, 64, 1), 300, 0, 1, plain=False),
}

# Small models of the families that have no fixture, to compare with the processor.
SMALL = {
    "plus_tfm": {"model_type": "TFM", "num_layers": 2, "hidden_dim": 32, "num_heads": 2, "feedforward_dim": 64,
                 "pos_encode": True, "max_len": 1026, "dropout": 0.1},
    "p_elmo": {"model_type": "RNN", "rnn_type": "B", "num_layers": 2, "hidden_dim": 16, "lm_proj_dim": 24,
               "embedding_dim": 12, "lm": {"num_layers": 2, "hidden_dim": 24}},
    "p_elmo_lm": {"model_type": "RNN", "rnn_type": "TFR", "num_layers": 2, "hidden_dim": 16},
}

# bf16 with 32-bit sums, dense, TFLOP/s by the maker's data sheets.
NOMINAL = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "A10G": 70, "L4": 121, "RTX 4090": 165}

# What makes products and attention.
WAYS = [("plain", "plain"), ("auto", "plain"), ("auto", "tensor-cores")]


def nominal_of(device):
    names = [name for name in NOMINAL if name in device]
    return NOMINAL[max(names, key=len)] if names else None


def proteins(path, tokens, seed=7):
    """Random proteins with the lengths of a proteome: log-normal with the median 340, up to 1022. Returns their tokens."""
    draw, left, lengths = random.Random(seed), tokens, []
    with open(path, "w") as file:
        while left > 0:
            length = min(1022, max(30, int(draw.lognormvariate(5.83, 0.6))), max(30, left))
            file.write(f">p{len(lengths)}\n{''.join(draw.choices(LETTERS, k=length))}\n")
            lengths.append(length + 2)
            left -= length + 2
    return sum(lengths)
