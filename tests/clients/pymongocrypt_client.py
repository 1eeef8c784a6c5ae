"""pymongocrypt (libmongocrypt, as in every MongoDB driver) with a KMIP server as its key provider. No database is needed.

    pymongocrypt_client.py HOST PORT FOLDER

FOLDER holds cert.pem, key.pem and ca.pem. Makes a data key under a master key that the server keeps, then encrypts and
decrypts with it; ends with an exception at the first surprise.
"""

import os
import socket
import ssl
import sys

import bson
from bson.binary import Binary, STANDARD
from bson.codec_options import CodecOptions
from pymongocrypt.explicit_encrypter import ExplicitEncrypter
from pymongocrypt.mongocrypt import MongoCryptOptions
from pymongocrypt.state_machine import MongoCryptCallback

HOST, PORT, FOLDER = sys.argv[1:]
OPTIONS = CodecOptions(uuid_representation=STANDARD)


class Callback(MongoCryptCallback):
    """What a driver does for libmongocrypt: talks to the key server, and keeps data keys (here in memory)."""

    def __init__(self):
        self.keys = []
        self.requests = 0
        self.context = ssl.create_default_context(cafile=os.path.join(FOLDER, "ca.pem"))
        self.context.load_cert_chain(os.path.join(FOLDER, "cert.pem"), os.path.join(FOLDER, "key.pem"))

    def kms_request(self, kms_context):
        assert kms_context.kms_provider == "kmip", kms_context.kms_provider
        host, port = kms_context.endpoint.rsplit(":", 1)
        self.requests += 1
        # One request a connection, and the name of the host is verified, as drivers do.
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            with self.context.wrap_socket(plain, server_hostname=host) as connection:
                connection.sendall(kms_context.message)
                while kms_context.bytes_needed > 0:
                    data = connection.recv(kms_context.bytes_needed)
                    assert data, "the server closed the connection before its answer was whole"
                    kms_context.feed(data)

    def insert_data_key(self, data_key):
        self.keys.append(data_key)
        return bson.decode(data_key, OPTIONS)["_id"]

    def fetch_keys(self, filter):
        yield from self.keys

    def bson_encode(self, doc):
        return bson.encode(doc, codec_options=OPTIONS)

    def collection_info(self, database, filter):
        raise NotImplementedError

    def mark_command(self, database, cmd):
        raise NotImplementedError

    def close(self):
        pass


def encrypter(callback):
    return ExplicitEncrypter(callback, MongoCryptOptions({"kmip": {"endpoint": "%s:%s" % (HOST, PORT)}}, None))


def main():
    callback = Callback()
    first = encrypter(callback)
    key = first.create_data_key("kmip", master_key={})
    # Register, Activate and Get of the master key.
    assert callback.requests == 3, callback.requests
    master = bson.decode(callback.keys[0], OPTIONS)["masterKey"]
    assert master["provider"] == "kmip" and master["keyId"], master
    print("data key made under master key", master["keyId"])

    value = bson.encode({"v": "457-55-5462"})
    algorithm = "AEAD_AES_256_CBC_HMAC_SHA_512-Deterministic"
    sealed = first.encrypt(value, algorithm, key_id=key.bytes)
    assert sealed != value and isinstance(bson.decode(sealed, OPTIONS)["v"], Binary)
    first.close()

    # Another process has no key in its cache: it fetches the master key again.
    before = callback.requests
    second = encrypter(callback)
    assert bson.decode(second.decrypt(sealed), OPTIONS) == {"v": "457-55-5462"}
    assert callback.requests == before + 1, callback.requests
    print("encrypted, and decrypted with the master key fetched again")

    # A second data key under the same master key: only a Get.
    before = callback.requests
    second.create_data_key("kmip", master_key={"keyId": master["keyId"]})
    assert callback.requests == before + 1, callback.requests
    second.close()
    print("second data key under the same master key")


main()
