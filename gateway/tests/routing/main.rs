//! The routing core on a virtual clock.

mod forms;
mod joining;
mod late;
mod layers;
mod loss;
mod people;
mod random;
#[cfg(test)]
mod world;
