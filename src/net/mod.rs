//! The network edge: sockets, TLS, frames, time-outs and connection limits. The only async code.
