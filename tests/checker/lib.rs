//! The checker: reads everything that is on the topics, and proves that it adds up.

pub mod log;
