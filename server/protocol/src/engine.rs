//! Engine.IO v4 packets and long-polling payloads.
