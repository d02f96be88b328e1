//! Matrix and stored types, and the pure rules on them: no I/O, no async, no clock.
