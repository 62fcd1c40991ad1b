//! A simulator of AWS KMS, CloudHSM v2 and STS that really calls an external key store proxy, so that one can be rehearsed without AWS.
//!
//! Always holds: it shares no code with the product, so that a mistake of the product is not made here as well; it is for tests and trials,
//! and keeps keys in the clear.
