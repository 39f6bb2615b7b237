//! The one table of kernel sources.

/// The header that every source includes, and nothing else.
pub const HEADER: &str = include_str!("common.cuh");

/// The name by which sources include it.
pub const HEADER_NAME: &str = "common.cuh";

/// The text of one operation's kernels.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Folder of the operation below `ops`.
    pub op: &'static str,
    /// The `.cu` file.
    pub text: &'static str,
    /// What it gives.
    pub kernels: &'static [Kernel],
}

/// One kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Name in the text and in the compiled module.
    pub name: &'static str,
    /// Threads of a block. The number of blocks is free: no result depends on it.
    pub threads: u32,
}

const fn kernel(name: &'static str) -> Kernel {
    Kernel { name, threads: 128 }
}

/// A kernel of matrix products.
const fn tiles(name: &'static str) -> Kernel {
    Kernel { name, threads: 256 }
}

macro_rules! text {
    ($op:literal) => {
        include_str!(concat!("../ops/", $op, "/", $op, ".cu"))
    };
}

/// Every operation that has kernels, by name.
pub const SOURCES: &[Source] = &[
    Source { op: "attention", text: text!("attention"), kernels: ATTENTION },
    Source {
        op: "attention_pool",
        text: text!("attention_pool"),
        kernels: &[kernel("attention_pool_states"), kernel("attention_pool_weights")],
    },
    Source {
        op: "contacts",
        text: text!("contacts"),
        kernels: &[kernel("contacts_factors"), kernel("contacts_map")],
    },
    Source {
        op: "conv1d",
        text: text!("conv1d"),
        kernels: &[kernel("conv1d_carry"), kernel("conv1d_forward")],
    },
    Source { op: "conv2d", text: text!("conv2d"), kernels: &[kernel("conv2d_forward")] },
    Source { op: "cross_entropy", text: text!("cross_entropy"), kernels: &[kernel("cross_entropy_losses")] },
    Source { op: "elementwise", text: text!("elementwise"), kernels: ELEMENTWISE },
    Source {
        op: "embedding",
        text: text!("embedding"),
        kernels: &[kernel("embedding_factors"), kernel("embedding_rows")],
    },
    Source {
        op: "layer_norm",
        text: text!("layer_norm"),
        kernels: &[
            kernel("layer_norm_bf16"),
            kernel("layer_norm_f32"),
            kernel("layer_norm_root_bf16"),
            kernel("layer_norm_root_f32"),
        ],
    },
    Source {
        op: "layout",
        text: text!("layout"),
        kernels: &[
            kernel("layout_columns"),
            kernel("layout_gather_bf16"),
            kernel("layout_gather_f32"),
            kernel("layout_scatter"),
        ],
    },
    Source { op: "linear", text: text!("linear"), kernels: LINEAR },
    Source { op: "lstm", text: text!("lstm"), kernels: &[tiles("lstm_step_bf16"), tiles("lstm_step_f32")] },
    Source {
        op: "ordinal",
        text: text!("ordinal"),
        kernels: &[kernel("ordinal_levels"), kernel("ordinal_logits")],
    },
    Source {
        op: "pair_features",
        text: text!("pair_features"),
        kernels: &[kernel("pair_features_bf16"), kernel("pair_features_f32")],
    },
    Source { op: "pair_logits", text: text!("pair_logits"), kernels: &[kernel("pair_logits_forward")] },
    Source {
        op: "pool",
        text: text!("pool"),
        kernels: &[kernel("pool_cls"), kernel("pool_max"), kernel("pool_mean"), kernel("pool_sum")],
    },
    Source {
        op: "rms_norm",
        text: text!("rms_norm"),
        kernels: &[kernel("rms_norm_bf16"), kernel("rms_norm_f32")],
    },
    Source { op: "rotary", text: text!("rotary"), kernels: &[kernel("rotary_bf16"), kernel("rotary_f32")] },
    Source {
        op: "selective_scan",
        text: text!("selective_scan"),
        kernels: &[kernel("selective_scan_forward")],
    },
    Source { op: "soft_alignment", text: text!("soft_alignment"), kernels: SOFT_ALIGNMENT },
    Source {
        op: "softmax",
        text: text!("softmax"),
        kernels: &[kernel("softmax_logarithms"), kernel("softmax_probabilities")],
    },
];

/// Widest head that a kernel holds, type of the operands, type of the result; then attention maps, and attention by tensor
/// cores, whose operands are bf16.
const ATTENTION: &[Kernel] = &[
    kernel("attention_128_bf16_to_bf16"),
    kernel("attention_128_bf16_to_f32"),
    kernel("attention_128_f32_to_bf16"),
    kernel("attention_128_f32_to_f32"),
    kernel("attention_32_bf16_to_bf16"),
    kernel("attention_32_bf16_to_f32"),
    kernel("attention_32_f32_to_bf16"),
    kernel("attention_32_f32_to_f32"),
    kernel("attention_64_bf16_to_bf16"),
    kernel("attention_64_bf16_to_f32"),
    kernel("attention_64_f32_to_bf16"),
    kernel("attention_64_f32_to_f32"),
    kernel("attention_maps_bf16"),
    kernel("attention_maps_f32"),
    kernel("attention_margins_bf16"),
    kernel("attention_margins_f32"),
    kernel("attention_mix_bf16"),
    kernel("attention_mix_f32"),
    kernel("attention_statistics_bf16"),
    kernel("attention_statistics_f32"),
    kernel("attention_tensor_128_to_bf16"),
    kernel("attention_tensor_128_to_f32"),
    kernel("attention_tensor_16_to_bf16"),
    kernel("attention_tensor_16_to_f32"),
    kernel("attention_tensor_32_to_bf16"),
    kernel("attention_tensor_32_to_f32"),
    kernel("attention_tensor_64_to_bf16"),
    kernel("attention_tensor_64_to_f32"),
];

const ELEMENTWISE: &[Kernel] = &[
    kernel("elementwise_add"),
    kernel("elementwise_add_into"),
    kernel("elementwise_distance"),
    kernel("elementwise_gate_bf16"),
    kernel("elementwise_gate_f32"),
    kernel("elementwise_logistic"),
    kernel("elementwise_multiply"),
    kernel("elementwise_relu"),
    kernel("elementwise_scale"),
    kernel("elementwise_tanh"),
    kernel("elementwise_to_bf16"),
    kernel("elementwise_to_f32"),
];

/// In name order; they run as similarities, rows, columns, weights, score.
const SOFT_ALIGNMENT: &[Kernel] = &[
    kernel("soft_alignment_columns"),
    kernel("soft_alignment_rows"),
    kernel("soft_alignment_score"),
    kernel("soft_alignment_similarities"),
    kernel("soft_alignment_weights"),
];

/// Type of the operands, type of the result.
const LINEAR: &[Kernel] = &[
    tiles("linear_bf16_to_bf16"),
    tiles("linear_bf16_to_f32"),
    kernel("linear_epilogue_to_bf16"),
    kernel("linear_epilogue_to_f32"),
    tiles("linear_f32_to_bf16"),
    tiles("linear_f32_to_f32"),
];

/// The source of an operation.
#[must_use]
pub fn source(op: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.op == op)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_say_their_operation() {
        assert!(SOURCES.is_sorted_by(|a, b| a.op < b.op));
        for source in SOURCES {
            assert!(source.kernels.is_sorted_by(|a, b| a.name < b.name), "{}", source.op);
            assert!(source.kernels.iter().all(|kernel| kernel.name.starts_with(source.op)), "{}", source.op);
        }
    }

    /// An order of additions that is not fixed would break the promise of equal bits.
    #[test]
    fn nothing_is_added_in_the_order_in_which_threads_come() {
        for text in SOURCES.iter().map(|source| source.text) {
            assert!(!text.contains("atomic") && !text.contains("__expf") && !text.contains("rsqrtf"));
        }
    }
}
