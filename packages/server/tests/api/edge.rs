//! What holds for every endpoint.

mod bodies;
mod cors;
mod crowds;
mod floods;
mod health;
mod hostile;
mod limits;
mod listeners;
mod methods;
mod secrets;
mod tokens;
mod well_known;
