//! A control plane that dies at any step of a change to a linked key store finds its way when it is back.
