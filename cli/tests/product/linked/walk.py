"""boto3 makes each key store that standard input names, connects it, makes a key in it, and uses the keys: for themselves, and one after the other.

Standard output: for each key store, its id and the ARN of its key, as JSON.
"""

import json
import sys
import time

import boto3

CONTEXT = {"purpose": "walk", "größe": "maß"}
PATIENCE = 180


def wait_until_connected(kms, key_store):
    end = time.monotonic() + PATIENCE
    while True:
        (described,) = kms.describe_custom_key_stores(CustomKeyStoreId=key_store)["CustomKeyStores"]
        if described["ConnectionState"] == "CONNECTED":
            return
        assert described["ConnectionState"] == "CONNECTING" and time.monotonic() < end, described
        # Only so that asking does not take the processor from what is waited for.
        time.sleep(0.01)


def make(kms, store):
    key_store = kms.create_custom_key_store(
        CustomKeyStoreName=store["name"],
        CustomKeyStoreType="EXTERNAL_KEY_STORE",
        XksProxyConnectivity="PUBLIC_ENDPOINT",
        XksProxyUriEndpoint=store["endpoint"],
        XksProxyUriPath=store["uri_path"],
        XksProxyAuthenticationCredential={
            "AccessKeyId": store["access_key_id"],
            "RawSecretAccessKey": store["secret_access_key"],
        },
    )["CustomKeyStoreId"]
    kms.connect_custom_key_store(CustomKeyStoreId=key_store)
    wait_until_connected(kms, key_store)
    key = kms.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=key_store, XksKeyId=store["key_id"])["KeyMetadata"]
    assert key["XksKeyConfiguration"]["Id"] == store["key_id"], key
    return {"key_store": key_store, "key": key["Arn"]}


def use(kms, key):
    for plaintext in [b"x", bytes(4096)]:
        sealed = kms.encrypt(KeyId=key, Plaintext=plaintext, EncryptionContext=CONTEXT)["CiphertextBlob"]
        opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT)
        assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, key), opened
        refused(kms, "KMSInvalidStateException", CiphertextBlob=sealed, EncryptionContext={"purpose": "another"})
        bent = sealed[:-1] + bytes([sealed[-1] ^ 1])
        refused(kms, "KMSInvalidStateException", CiphertextBlob=bent, EncryptionContext=CONTEXT)
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=CONTEXT)
    opened = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == data_key["Plaintext"] and len(data_key["Plaintext"]) == 32
    data_key = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=64)
    assert "Plaintext" not in data_key
    assert len(kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"]) == 64


def refused(kms, name, **arguments):
    try:
        kms.decrypt(**arguments)
    except kms.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == name, error.response
    else:
        raise AssertionError(f"not refused: {name}")


def hand_over(kms, source, destination):
    """ReEncrypt: opened under one key and sealed under the other, inside AWS KMS."""
    sealed = kms.encrypt(KeyId=source, Plaintext=b"handed over", EncryptionContext=CONTEXT)["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=sealed, SourceEncryptionContext=CONTEXT, DestinationKeyId=destination)
    assert (moved["SourceKeyId"], moved["KeyId"]) == (source, destination), moved
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])
    assert (opened["Plaintext"], opened["KeyId"]) == (b"handed over", destination), opened


def main():
    kms = boto3.client("kms")
    made = [make(kms, store) for store in json.load(sys.stdin)]
    keys = [one["key"] for one in made]
    for key in keys:
        use(kms, key)
    for source, destination in zip(keys, keys[1:] + keys[:1]):
        hand_over(kms, source, destination)
    json.dump(made, sys.stdout)


main()
