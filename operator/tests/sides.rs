//! The two sides of a pipeline as programs, without an operator between them: of today, and of the commit before.

mod poison;
mod programs;
mod upgrade;
