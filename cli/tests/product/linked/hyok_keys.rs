//! Linked HYOK keys through REST, and what AWS has of them.
