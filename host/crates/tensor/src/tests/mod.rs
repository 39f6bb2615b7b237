//! A small network through all operations, against an oracle of its own.

mod gated;
mod gradients;
mod heads;
mod memory;
mod network;
mod oracle;
mod pooling;
mod rows;
mod scan;
