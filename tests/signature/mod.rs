//! Keys that ssh-keygen made sign as it does itself, and it takes what they signed; all others are refused.

mod keys;
mod refused;
mod signed;
mod spoiled;
mod trees;
