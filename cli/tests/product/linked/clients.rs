//! AWS's own clients drive the simulator, which calls the data plane: CLI, boto3, Encryption SDK.
