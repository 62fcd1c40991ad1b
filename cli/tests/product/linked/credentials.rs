//! Credentials of linked key stores: rotated while AWS and the nodes look on.
