"""Models as a service on one machine: one data plane that knows no protocol, and thin faces over it."""
