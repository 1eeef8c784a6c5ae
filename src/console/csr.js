// A key pair and a certificate signing request (PKCS#10, RFC 2986), made in the browser: the private key never leaves it.

const join = (parts) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
};

// DER: tag, length, content.
function der(tag, ...content) {
  const body = join(content);
  const length = [];
  for (let left = body.length; left > 0; left >>= 8) length.unshift(left & 255);
  const head = body.length < 128 ? [body.length] : [128 | length.length, ...length];
  return join([Uint8Array.from([tag, ...head]), body]);
}
const bytes = (...values) => Uint8Array.from(values);
const COMMON_NAME = bytes(6, 3, 0x55, 4, 3);
const SHA256_WITH_RSA = bytes(6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11);

function pem(label, content) {
  const text = btoa(Array.from(content, (byte) => String.fromCharCode(byte)).join(""));
  return `-----BEGIN ${label}-----\n${text.match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;
}

/** `{ request, key }`, both PEM: RSA with 3072 bits, which every client understands. */
export async function makeRequest(commonName) {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", modulusLength: 3072, publicExponent: bytes(1, 0, 1), hash: "SHA-256" };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const name = der(0x30, der(0x31, der(0x30, COMMON_NAME, der(12, new TextEncoder().encode(commonName)))));
  const info = der(0x30, bytes(2, 1, 0), name, spki, bytes(0xa0, 0));
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm.name, pair.privateKey, info));
  const request = der(0x30, info, der(0x30, SHA256_WITH_RSA, bytes(5, 0)), der(3, bytes(0), signature));
  const key = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  return { request: pem("CERTIFICATE REQUEST", request), key: pem("PRIVATE KEY", key) };
}
