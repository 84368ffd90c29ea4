//! The routing core on a virtual clock.

mod forms;
mod joining;
mod layers;
mod loss;
mod people;
#[cfg(test)]
mod world;
