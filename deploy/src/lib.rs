//! factfold: placeholder until the launcher lands.
pub mod topics;
