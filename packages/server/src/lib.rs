//! The matryx homeserver: the binary and its HTTP edge.
