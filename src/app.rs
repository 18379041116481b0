//! Wires ports to adapters and roles to ports: the only file that names adapters.
