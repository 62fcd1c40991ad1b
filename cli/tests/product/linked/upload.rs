//! Keys whose material is uploaded to AWS.
