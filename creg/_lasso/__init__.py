"""The L1 engine: coordinate descent on working sets, and the certificate."""
