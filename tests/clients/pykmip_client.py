"""PyKMIP, a real KMIP client, against a server: a life of each type of object in each 1.x version.

    pykmip_client.py HOST PORT FOLDER USER PASSWORD

FOLDER holds cert.pem, key.pem and ca.pem. Prints one line for each version; ends with an exception at the first surprise.
Runs with PyKMIP 0.11 on Python 3.8 to 3.13. PyKMIP 0.10 needs ssl.wrap_socket, which Python 3.12 removed.
"""

import os
import sys
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kmip.core import enums
from kmip.core.factories.attributes import AttributeFactory
from kmip.pie import client as pie
from kmip.pie import exceptions, objects
from kmip.services.kmip_client import KMIPProxy

HOST, PORT, FOLDER, USER, PASSWORD = sys.argv[1:]
MASKS = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
STATE = {state.name: state for state in enums.State}
VERSIONS = [
    enums.KMIPVersion.KMIP_1_0,
    enums.KMIPVersion.KMIP_1_1,
    enums.KMIPVersion.KMIP_1_2,
    enums.KMIPVersion.KMIP_1_3,
    enums.KMIPVersion.KMIP_1_4,
]


def arguments():
    files = {name: os.path.join(FOLDER, name + ".pem") for name in ("cert", "key", "ca")}
    return files, {"username": USER, "password": PASSWORD}


def simple_client(version):
    files, rest = arguments()
    return pie.ProxyKmipClient(hostname=HOST, port=int(PORT), kmip_version=version, **files, **rest)


def proxy(version):
    files, rest = arguments()
    return KMIPProxy(
        host=HOST,
        port=int(PORT),
        certfile=files["cert"],
        keyfile=files["key"],
        ca_certs=files["ca"],
        kmip_version=version,
        **rest
    )


def material():
    """One object of each type, made here."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    with open(os.path.join(FOLDER, "cert.pem"), "rb") as file:
        certificate = x509.load_pem_x509_certificate(file.read()).public_bytes(serialization.Encoding.DER)
    aes = enums.CryptographicAlgorithm.AES
    rsa_algorithm = enums.CryptographicAlgorithm.RSA
    sign, verify = enums.CryptographicUsageMask.SIGN, enums.CryptographicUsageMask.VERIFY

    def name():
        return "pykmip-%s" % uuid.uuid4()

    return [
        objects.SymmetricKey(aes, 256, os.urandom(32), masks=MASKS, name=name()),
        objects.SecretData(b"a password", enums.SecretDataType.PASSWORD, masks=[verify], name=name()),
        objects.OpaqueObject(b"opaque bytes", enums.OpaqueDataType.NONE, name=name()),
        objects.PrivateKey(rsa_algorithm, 2048, private, enums.KeyFormatType.PKCS_8, masks=[sign], name=name()),
        objects.PublicKey(rsa_algorithm, 2048, public, enums.KeyFormatType.PKCS_1, masks=[verify], name=name()),
        objects.X509Certificate(certificate, masks=[verify], name=name()),
    ]


def named(attribute_name, value):
    return AttributeFactory().create_attribute(attribute_name, value)


def state_of(client, uid):
    _, found = client.get_attributes(uid, ["State"])
    assert [attribute.attribute_name.value for attribute in found] == ["State"], found
    return found[0].attribute_value.value


def refused(reason, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except exceptions.KmipOperationFailure as error:
        assert error.reason == reason, error
    else:
        raise AssertionError("not refused")


def live(client, uid, name):
    """From the first look to the end, for an object that can be activated."""
    assert client.locate(attributes=[named(enums.AttributeType.NAME, name)]) == [uid]
    assert state_of(client, uid) == STATE["PRE_ACTIVE"]
    client.activate(uid)
    assert state_of(client, uid) == STATE["ACTIVE"]
    refused(enums.ResultReason.PERMISSION_DENIED, client.destroy, uid)
    client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid, "no longer needed")
    assert state_of(client, uid) == STATE["DEACTIVATED"]
    end(client, uid, name)


def end(client, uid, name):
    client.destroy(uid)
    assert client.locate(attributes=[named(enums.AttributeType.NAME, name)]) == []


def look(client, uid, expected):
    listed = client.get_attribute_list(uid)
    for name in expected:
        assert listed.count(name) == 1, (name, listed)
    _, found = client.get_attributes(uid, expected)
    assert sorted(attribute.attribute_name.value for attribute in found) == sorted(expected), found


def play(version):
    with simple_client(version) as client:
        name = "pykmip-%s" % uuid.uuid4()
        uid = client.create(enums.CryptographicAlgorithm.AES, 256, name=name, cryptographic_usage_mask=MASKS)
        key = client.get(uid)
        assert isinstance(key, objects.SymmetricKey) and len(key.value) == 32
        look(client, uid, ["Name", "Cryptographic Algorithm", "Cryptographic Length", "Object Type", "Initial Date"])
        renamed = "pykmip-%s" % uuid.uuid4()
        client.modify_attribute(uid, attribute=named(enums.AttributeType.NAME, renamed))
        assert client.locate(attributes=[named(enums.AttributeType.NAME, name)]) == []
        live(client, uid, renamed)

        for thing in material():
            uid = client.register(thing)
            found = client.get(uid)
            assert type(found) is type(thing) and found.value == thing.value, thing
            # PyKMIP cannot read a Digest without Key Format Type: 1.0 does not define that, and only keys have it.
            digest = isinstance(thing, objects.Key) and version != enums.KMIPVersion.KMIP_1_0
            expected = ["Name", "Object Type", "Unique Identifier", "Last Change Date"]
            look(client, uid, expected + (["Digest"] if digest else []))
            if isinstance(thing, objects.OpaqueObject):
                end(client, uid, thing.names[0])
            else:
                live(client, uid, thing.names[0])

        refused(enums.ResultReason.ITEM_NOT_FOUND, client.get, str(uuid.uuid4()))


def play_proxy(version):
    """The lower half of PyKMIP, which has Query and Discover Versions."""
    client = proxy(version)
    client.open()
    try:
        functions = [enums.QueryFunction.QUERY_OPERATIONS, enums.QueryFunction.QUERY_OBJECTS]
        found = client.query(query_functions=functions + [enums.QueryFunction.QUERY_SERVER_INFORMATION])
        assert found.result_status.value == enums.ResultStatus.SUCCESS, found.result_message
        operations = [enums.Operation(operation.value) for operation in found.operations]
        assert enums.Operation.CREATE in operations and enums.Operation.ENCRYPT not in operations, operations
        assert enums.ObjectType.SYMMETRIC_KEY in [enums.ObjectType(kind.value) for kind in found.object_types]
        if version != enums.KMIPVersion.KMIP_1_0:
            found = client.discover_versions()
            assert len(found.protocol_versions) >= 5, found.protocol_versions
    finally:
        client.close()


def main():
    for version in VERSIONS:
        play(version)
        play_proxy(version)
        print("KMIP %s: played" % version.value, flush=True)


main()
