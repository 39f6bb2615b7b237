//! Model folders, ESM-2 and LC-PLM against the numbers of other programs, and against hostile files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod configs;
mod contact_map;
mod create;
mod first_token;
mod golden;
mod heads;
mod hostile;
mod identity;
mod import;
mod index;
mod lc_plm;
mod lora;
mod lstm;
mod mamba;
mod mutations;
mod optim;
mod p_elmo;
mod pair_head;
mod pickles;
mod plus_alphabet;
mod plus_common;
mod plus_import;
mod plus_rnn;
mod plus_tfm;
mod tiny;
mod training;
