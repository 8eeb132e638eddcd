//! factfold: placeholder until the launcher lands.
pub mod settings;
pub mod topics;
