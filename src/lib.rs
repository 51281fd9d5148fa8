//! spandrel
pub mod trace;
