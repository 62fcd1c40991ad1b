//! What is found in AWS, and the jobs that look for it.
