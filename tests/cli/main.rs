//! The command line, through the real program: what it says, what it writes, how it ends.

mod bytes;
mod disks;
mod doctor;
mod errors;
mod fasta;
mod help;
mod inputs;
mod long;
mod model;
mod outputs;
mod results;
mod snapshot;
mod tool;
