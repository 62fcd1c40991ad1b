//! What the known Terraform provider does with linked objects, from its first apply to its last destroy.
