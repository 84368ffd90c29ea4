//! DTLS for the Tombolo stack, sans-I/O
