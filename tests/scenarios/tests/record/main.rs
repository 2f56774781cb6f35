//! What is recorded is what was printed; and what is left when the recorder, the disk or a reader fails.

mod crowd;
mod endings;
mod flight;
mod folders;
mod same;
mod traffic;
