//! A control plane that dies at any step of a change to a key in AWS finds its way when it is back.
