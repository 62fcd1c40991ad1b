"""The AWS Encryption SDK encrypts a file with a KMS keyring, and decrypts it again: encrypt_file.py KEY-ARN PLAIN SEALED OPENED."""

import sys

import aws_encryption_sdk
import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput
from aws_encryption_sdk import CommitmentPolicy

CONTEXT = {"purpose": "a file"}


def main(key, plain, sealed, opened):
    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    keyring = providers.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=boto3.client("kms")))
    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    with open(plain, "rb") as source, open(sealed, "wb") as sink:
        with client.stream(mode="e", source=source, keyring=keyring, encryption_context=CONTEXT) as encryptor:
            for chunk in encryptor:
                sink.write(chunk)
    with open(sealed, "rb") as source, open(opened, "wb") as sink:
        with client.stream(mode="d", source=source, keyring=keyring, encryption_context=CONTEXT) as decryptor:
            for chunk in decryptor:
                sink.write(chunk)


main(*sys.argv[1:])
