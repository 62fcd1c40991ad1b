//! Keys whose material AWS makes.
