// The steps for each kind of client: the names of buttons and fields are those of the client's own screens and commands.
import { html, useState } from "../view.js";
import { post } from "../api.js";
import { href } from "../route.js";
import { Button, CopyBox, Facts, Notice, PemField, ProblemBox, Time, useAct } from "../ui.js";
import { fileName } from "../format.js";
import { makeRequest } from "../csr.js";
import { Signed } from "./adapter.js";
import { Live } from "./live.js";

// The port that clients connect to, and the name that this browser knows the server by.
const portOf = (server) => server.kmip_listen[0]?.split(":").pop() || "5696";
const namesOf = (server) => {
  const names = server.names?.length ? server.names : [location.hostname];
  const reached = location.hostname.replace(/^\[|\]$/g, "");
  return names.includes(reached) ? [reached, ...names.filter((name) => name !== reached)] : names;
};

const Watch = ({ adapter, children }) => html`<li><h2>Watch it connect</h2>${children}<${Live} adapter=${adapter.id} name=${adapter.name} />
  <p><a href=${href(`/adapters/${adapter.id}`)}>Go to the page of <bdi>${adapter.name}</bdi></a></p></li>`;

const Address = ({ server, port = "Port" }) => html`<${CopyBox} label="Address (IP address or host name)" text=${namesOf(server)[0]} help=${namesOf(server).length > 1 ? `The certificate is good for all of these: ${namesOf(server).join(", ")}.` : undefined} /><${CopyBox} label=${port} text=${portOf(server)} />`;

const unseen = html`<${Notice}>Your roles do not show the server's certificate. Somebody who sees the page <em>Server</em> can tell you its thumbprint and give you the CA certificate.<//>`;
const Thumbprints = ({ server }) => (server.certificate === null ? unseen : html`<${CopyBox} label="Thumbprint SHA-1" text=${server.certificate.thumbprint_sha1} /><${CopyBox} label="Thumbprint SHA-256" text=${server.certificate.thumbprint_sha256} />
  <${Facts} of=${[["Issued to", html`<bdi>${server.certificate.subject}</bdi>`], ["Valid until", html`<${Time} at=${server.certificate.not_after} day />`]]} />`);

const CaBox = ({ server }) => (server.ca_pem ? html`<${CopyBox} label="CA certificate of this server" text=${server.ca_pem.trim()} file="keystead-ca.pem" />` : unseen);

/** A place to paste a certificate that the client shows. */
function PasteCertificate({ adapter, label, help }) {
  const [pem, setPem] = useState("");
  const [made, setMade] = useState(null);
  const { act, busy, problem } = useAct((key) => post(`/v1/adapters/${adapter.id}/certificates`, { pem }, key));
  if (made) return html`<${Notice} kind="good" title="Registered">${made.items.map((one) => html`<div><bdi>${one.subject}</bdi>, valid until <${Time} at=${one.not_after} day /></div>`)}${made.notes.map((note) => html`<div>${note}</div>`)}<//>`;
  return html`<form onSubmit=${async (event) => { event.preventDefault(); const done = await act(); if (done) setMade(done); }}>
    <${PemField} label=${label} name="pem" value=${pem} set=${setPem} problem=${problem} placeholder="-----BEGIN CERTIFICATE-----" help=${help} />
    <${ProblemBox} problem=${problem} /><button type="submit" aria-busy=${busy ? "true" : undefined} disabled=${busy}>Register the certificate</button></form>`;
}

/** A place to paste a request, which is signed. `then` shows what to do with the result. */
function PasteRequest({ adapter, help, then }) {
  const [request, setRequest] = useState("");
  const [signed, setSigned] = useState(null);
  // Out of a JSON answer it comes with its line ends written out.
  const plain = () => request.trim().replace(/^"|"$/g, "").replaceAll("\\n", "\n");
  const { act, busy, problem } = useAct((key) => post(`/v1/adapters/${adapter.id}/certificates/sign`, { request: plain() }, key));
  if (signed) return html`<${Notice} kind="good" title="Signed and registered">The client is known as soon as it has its certificate.<//>${then(signed)}`;
  return html`<form onSubmit=${async (event) => { event.preventDefault(); const done = await act(); if (done) setSigned(done); }}>
    <${PemField} label="Certificate signing request (CSR)" name="request" value=${request} set=${setRequest} problem=${problem} placeholder="-----BEGIN CERTIFICATE REQUEST-----" help=${help} />
    <${ProblemBox} problem=${problem} /><button type="submit" aria-busy=${busy ? "true" : undefined} disabled=${busy}>Sign it</button></form>`;
}

/** A certificate and key for a client that is given both. The key is made here, in the browser. */
function MakeBoth({ adapter, then }) {
  const [made, setMade] = useState(null);
  const { act, busy, problem } = useAct(async (key) => {
    const { request, key: secret } = await makeRequest(adapter.name);
    return { secret, signed: await post(`/v1/adapters/${adapter.id}/certificates/sign`, { request }, key) };
  });
  if (made) return html`<${Notice} kind="warn" title="The private key is shown until you leave this page">It was made in this browser and is kept nowhere else.<//>${then(made.signed, made.secret)}`;
  return html`<p>A key pair is made in this browser, and the server signs its certificate. The private key never reaches the server.</p><${ProblemBox} problem=${problem} />
    <${Button} busy=${busy} onClick=${async () => { const done = await act(); if (done) setMade(done); }}>Make a certificate and private key<//>`;
}

const ways = [
  ["certificate", "vCenter Certificate", "The certificate that vCenter has already. The usual way."],
  ["root", "vCenter Root CA Certificate", "vCenter shows the certificate of its own authority."],
  ["upload", "KMS certificate and private key", "You upload a certificate and key that are made here."],
  ["csr", "New Certificate Signing Request (CSR)", "vCenter makes a request, this server signs it."],
];

export function Vcenter({ adapter, server, method, setMethod }) {
  const way = ways.find(([id]) => id === method) || ways[0];
  return html`
    <li><h2>Add the key server in vCenter</h2>
      <p>In the vSphere Client choose the vCenter Server, then <strong>Configure → Security → Key Providers → Add → Add Standard Key Provider</strong>. Give the provider a name, and enter:</p>
      <${CopyBox} label="KMS (a name for it)" text=${adapter.name} /><${Address} server=${server} />
      <p>${adapter.credential_user ? html`Under <strong>Password protection</strong> enter the user name <code><bdi>${adapter.credential_user}</bdi></code> and its password.` : "Leave proxy, user name and password empty."} Then <strong>Add Key Provider</strong>.</p></li>
    <li><h2>Make vCenter trust this server</h2><p>vCenter shows the server's certificate. Compare its thumbprint with these, and choose <strong>Trust</strong> only if one is the same. (Later: <strong>Establish Trust → Make vCenter trust KMS</strong>.)</p><${Thumbprints} server=${server} /></li>
    <li><h2>Make this server trust vCenter</h2><p>Choose the provider, then the key server, then <strong>Establish Trust → Make KMS trust vCenter</strong>. vCenter offers four methods; choose here the one that you choose there.</p>
      <fieldset><legend class="hidden">Method</legend><div class="choices">${ways.map(([id, name, what]) => html`<label class="choice" aria-current=${id === way[0] ? "true" : undefined}><span><input type="radio" name="method" value=${id} checked=${id === way[0]} onChange=${() => setMethod(id)} /><strong>${name}</strong></span><span>${what}</span></label>`)}</div></fieldset>
      <${VcenterWay} key=${way[0]} way=${way[0]} adapter=${adapter} /></li>
    <${Watch} adapter=${adapter}><p>vCenter connects a few seconds after trust is established, and the provider's status becomes <strong>Connected</strong>. It makes its first key when something is encrypted. Hosts fetch keys themselves, with the same certificate.</p><//>`;
}

function VcenterWay({ way, adapter }) {
  if (way === "csr") {
    return html`<p>There: <strong>New Certificate Signing Request (CSR) → Next</strong>, copy the request or download it, and paste it here.</p>
      <${PasteRequest} adapter=${adapter} then=${(signed) => html`<p>Back in vCenter: <strong>Establish Trust → Upload Signed CSR Certificate</strong>. Paste this, then <strong>Upload</strong>:</p><${CopyBox} label="Signed certificate" text=${signed.certificate_pem} file=${`${fileName(adapter.name)}.pem`} />`} />`;
  }
  if (way === "upload") {
    return html`<${MakeBoth} adapter=${adapter} then=${(signed, secret) => html`<p>There: <strong>KMS certificate and private key → Next</strong>. Paste the certificate into the upper box, the key into the lower one, then <strong>Establish Trust</strong>:</p>
      <${CopyBox} label="KMS certificate (upper box)" text=${signed.certificate_pem} file="kms-certificate.pem" /><${CopyBox} label="Private key (lower box)" text=${secret} file="kms-private-key.pem" help="Delete downloaded files when vCenter has them." />`} />`;
  }
  if (way === "root") {
    return html`<p>There: <strong>vCenter Root CA Certificate → Next → Establish Trust</strong>. There is nothing to paste: this server does not trust everything that a foreign authority signs, it trusts the one certificate that vCenter shows when it connects.</p>
      <ol><li>Finish the dialog in vCenter.</li><li>Below, the line says that an unknown certificate was refused.</li><li>Compare its thumbprint with that of the key provider's client certificate, and press <strong>Register this certificate</strong>.</li></ol>`;
  }
  return html`<p>There: <strong>vCenter Certificate → Next</strong>, copy the certificate or download it, and paste it here. Then <strong>Establish Trust</strong>.</p><${PasteCertificate} adapter=${adapter} label="vCenter's certificate" help="It may be signed by itself: this server trusts exactly this certificate." />`;
}

export function Ontap({ adapter, server }) {
  const name = namesOf(server)[0];
  return html`
    <li><h2>Make a key and request on the cluster</h2><p>On the ONTAP command line. The answer holds a request and a private key: keep both until the next step.</p>
      <${CopyBox} label="ONTAP command" text=${`security certificate generate-csr -common-name ${fileName(adapter.name)} -size 2048 -hash-function SHA256`} /></li>
    <li><h2>Sign the request here</h2><${PasteRequest} adapter=${adapter} help="From BEGIN CERTIFICATE REQUEST to END CERTIFICATE REQUEST. Never the private key." then=${(signed) => html`
      <p>On the cluster, install the certificate. It asks for the certificate, then for the private key of the step before:</p>
      <${CopyBox} label="ONTAP command" text="security certificate install -vserver CLUSTER -type client -subtype kmip-cert" /><${CopyBox} label="Client certificate" text=${signed.certificate_pem} file=${`${fileName(adapter.name)}.pem`} />`} /></li>
    <li><h2>Make the cluster trust this server</h2><p>Install the certificate of this server's authority:</p>
      <${CopyBox} label="ONTAP command" text="security certificate install -vserver CLUSTER -type server-ca -subtype kmip-cert" /><${CaBox} server=${server} /></li>
    <li><h2>Switch the key manager on</h2><p>Put in the names that <code>security certificate show -subtype kmip-cert</code> tells. The server's host name must be one that its certificate has.</p>
      <${CopyBox} label="ONTAP command" text=${`security key-manager external enable -vserver CLUSTER -key-servers ${name}:${portOf(server)} -client-cert CLIENT_CERT_NAME -server-ca-certs CA_CERT_NAME`} />
      <${CopyBox} label="And look whether it is there" text="security key-manager external show-status" /></li>
    <${Watch} adapter=${adapter} />`;
}

export function Element({ adapter, server }) {
  const json = (method, params) => JSON.stringify({ method, params, id: 1 }, null, 2);
  return html`
    <li><h2>Make a key and request on the cluster</h2><p>Two calls of the Element API (<code>https://MVIP/json-rpc/12.0</code>) as a cluster administrator. The second answers the request.</p>
      <${CopyBox} label="First call" text=${json("CreatePublicPrivateKeyPair", { commonName: fileName(adapter.name), organization: "Example", organizationalUnit: "Storage", locality: "City", state: "State", country: "DE", emailAddress: "storage@example.com" })} help="Put in your own organisation and place." />
      <${CopyBox} label="Second call" text=${json("GetClientCertificateSignRequest", {})} /></li>
    <li><h2>Sign the request here</h2><${PasteRequest} adapter=${adapter} help="The value of clientCertificateSignRequest. \\n in it may stay." then=${(signed) => html`
      <p>Give the cluster the key server, with its certificate and this server's authority in it:</p>
      <${CopyBox} label="Call" file="create-key-server.json" type="application/json" text=${json("CreateKeyServerKmip", { kmipKeyServerName: "keystead", kmipKeyServerHostnames: namesOf(server).slice(0, 1), kmipKeyServerPort: Number(portOf(server)), kmipCaCertificate: server.ca_pem.trim(), kmipClientCertificate: signed.certificate_pem.trim() })} />
      <details><summary>Signed certificate and CA certificate as files</summary><${Signed} of=${signed} name=${adapter.name} /></details>`} /></li>
    <li><h2>Make the provider, and test it</h2><p>Put in the identifiers that the calls before answer.</p>
      <${CopyBox} label="Calls, one after the other" text=${[["CreateKeyProviderKmip", { keyProviderName: "keystead" }], ["AddKeyServerToProviderKmip", { keyProviderID: 1, keyServerID: 1 }], ["TestKeyServerKmip", { keyServerID: 1 }], ["TestKeyProviderKmip", { keyProviderID: 1 }], ["EnableEncryptionAtRest", { keyProviderID: 1 }]].map(([method, params]) => JSON.stringify({ method, params, id: 1 })).join("\n")} help="The last one switches encryption at rest on, and makes the first key here." /></li>
    <${Watch} adapter=${adapter} />`;
}

const plain = [["register", "It has a certificate", "You paste the client's public certificate here."], ["csr", "It makes a request (CSR)", "You paste the request, and take the signed certificate back."], ["make", "It has neither", "A key and certificate are made in this browser."]];

export function Plain({ adapter, server, method, setMethod }) {
  const way = plain.find(([id]) => id === method)?.[0] || "register";
  return html`
    <li><h2>Tell the client where the server is</h2><${Address} server=${server} /><p>KMIP 1.0 to 2.1 in TTLV over TLS 1.2 or 1.3, with a client certificate. ${adapter.credential_user ? html`User name <code><bdi>${adapter.credential_user}</bdi></code>, with its password.` : "No user name or password is needed."}</p></li>
    <li><h2>Make it trust this server</h2><p>Give it the certificate of this server's authority, or compare the thumbprint if it asks.</p><${CaBox} server=${server} /><details><summary>Thumbprints</summary><${Thumbprints} server=${server} /></details></li>
    <li><h2>Make this server trust it</h2><fieldset><legend class="hidden">How</legend><div class="choices">${plain.map(([id, name, what]) => html`<label class="choice" aria-current=${id === way ? "true" : undefined}><span><input type="radio" name="method" value=${id} checked=${id === way} onChange=${() => setMethod(id)} /><strong>${name}</strong></span><span>${what}</span></label>`)}</div></fieldset>
      ${way === "csr" ? html`<${PasteRequest} key="csr" adapter=${adapter} then=${(signed) => html`<${Signed} of=${signed} name=${adapter.name} />`} />`
        : way === "make" ? html`<${MakeBoth} key="make" adapter=${adapter} then=${(signed, secret) => html`<${CopyBox} label="Client certificate" text=${signed.certificate_pem} file=${`${fileName(adapter.name)}.pem`} /><${CopyBox} label="Private key" text=${secret} file=${`${fileName(adapter.name)}.key`} help="Delete downloaded files when the client has them." />`} />`
        : html`<${PasteCertificate} key="register" adapter=${adapter} label="The client's certificate" help="Public, in PEM form; signed by anybody or by itself." />`}</li>
    <${Watch} adapter=${adapter} />`;
}
