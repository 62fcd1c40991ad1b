//! Linked key stores through REST, and what AWS has of them.
