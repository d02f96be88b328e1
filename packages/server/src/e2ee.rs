//! End-to-end encryption: the keys of devices and users.

pub mod remote;
