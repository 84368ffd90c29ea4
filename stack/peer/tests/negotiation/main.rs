//! Offers and answers: what is accepted, what is refused and at which line, and what our own descriptions say.

mod answering;
mod feedback;
mod offering;
mod refusing;
mod text;
mod transport;
