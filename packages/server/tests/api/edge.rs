//! What holds for every endpoint.

mod bodies;
mod cors;
mod health;
mod limits;
mod listeners;
mod methods;
mod tokens;
mod well_known;
