// The words of the console: what states, roles and permissions are called, and what they mean.

/** Shown state, kind of badge, explanation. */
export const objectStates = {
  PreActive: ["Pre-active", "calm", "Made, but not put to use yet. Clients can already read it."],
  Active: ["Active", "good", "In use."],
  Deactivated: ["Deactivated", "calm", "Out of use. It still decrypts what it once encrypted."],
  Compromised: ["Compromised", "bad", "Somebody said that others may know it."],
  Destroyed: ["Destroyed", "off", "Its key material is gone; only what is known about it is left."],
  DestroyedCompromised: ["Destroyed, compromised", "off", "It was compromised, and its key material is gone."],
};
export const rootKeyStates = {
  unfinished: ["Unfinished", "warn", "Making it was interrupted. Make it again under the same label."],
  active: ["Active", "good", "It protects keys and opens them."],
  suspended: ["Suspended", "warn", "Nothing under it can be used until it is resumed."],
  being_destroyed: ["Being destroyed", "bad", "Its destruction has begun and can only go on."],
  destroyed: ["Destroyed", "off", "It is gone, and everything it protected with it."],
};
export const versionStates = {
  current: ["Current", "good", "New keys are wrapped under it."],
  superseded: ["Superseded", "calm", "It still opens what is under it."],
  retired: ["Retired", "off", "It is gone from the HSM; nothing is under it."],
};
export const adapterStates = {
  active: ["Active", "good", "Its clients can do everything."],
  root_key_suspended: ["Root key suspended", "warn", "No key is handed out or made until its root key is resumed."],
  root_key_destroyed: ["Root key destroyed", "off", "Its keys are lost for ever."],
};
export const approvalStates = {
  pending: ["Waiting", "warn", "Nobody has decided yet."],
  approved: ["Approved", "good", "It is done when its hold ends. Until then it can be cancelled."],
  executing: ["Being done", "bad", "It cannot be stopped any more."],
  done: ["Done", "calm", "It was done."],
  failed: ["Failed", "bad", "It could not be done."],
  rejected: ["Rejected", "off", "Somebody refused it."],
  cancelled: ["Cancelled", "off", "It was cancelled before anything was done."],
  expired: ["Expired", "off", "Nobody decided in time."],
};
export const approvalActions = {
  "root_key.destroy": "Destroy the root key",
  "adapter.delete": "Delete the adapter",
  "object.destroy": "Destroy the key",
};
export const roles = {
  viewer: ["Viewer", "Sees everything but the audit log. Changes nothing."],
  auditor: ["Auditor", "Sees everything, the audit log as well. Changes nothing."],
  operator: ["Operator", "Runs adapters, certificates and keys; rotates root keys; asks for approvals."],
  "security-officer": ["Security officer", "Root keys, approvals, identities, configuration, audit log, backups."],
  administrator: ["Administrator", "Everything. Even so, destroying takes a second person."],
};
export const certificateKinds = {
  client: "Client", server: "This server", "own-authority": "This server's authority", authority: "Other authority",
};
export const ruleKinds = {
  cn: ["Common name", "array-1"],
  subject: ["Whole subject", "CN=array-1,O=Example,C=US"],
  dns: ["DNS name", "array-1.example.com"],
  uri: ["URI", "spiffe://example.com/array-1"],
  email: ["E-mail address", "array-1@example.com"],
};

const viewing = ["kmip-management.list", "kmip-management.read"];
// What a role for one adapter gives there; src/admin/permission.rs decides, this only keeps buttons away that would be refused.
export const ofOneAdapter = {
  viewer: viewing,
  auditor: [...viewing, "audit.read"],
  operator: [...viewing, "kmip-management.create", "kmip-management.delete", "approval.request"],
  "security-officer": [...viewing, "audit.read", "approval.request", "approval.decide"],
  administrator: [...viewing, "kmip-management.create", "kmip-management.delete", "audit.read", "approval.request", "approval.decide"],
};

const verbs = {
  create: "made", add: "added", register: "registered", update: "changed", delete: "deleted", remove: "removed", read: "read",
  list: "listed", search: "searched", open: "opened", close: "closed", rotate: "rotation begun", suspend: "suspended", resume: "resumed",
  destroy: "destroyed", revoke: "revoked", approve: "approved", reject: "rejected", cancel: "cancelled", execute: "carried out", sign: "signed",
  issue: "issued", set: "set", reload: "reloaded", renew: "renewed", retire: "retired", attest: "attested", recover: "recovered", request: "asked for",
};
const nouns = { root_key: "root key", api_key: "API key", object: "key", session: "session", ca: "authority", ca_rule: "rule", audit: "audit log" };

/** `adapter.create` as `Adapter made`. What is not known stays as it is. */
export function action(name) {
  const parts = name.split(".");
  const verb = verbs[parts.pop()];
  if (!verb || parts.length === 0) return name;
  const text = `${parts.map((noun) => nouns[noun] || noun.replaceAll("_", " ")).join(" ")} ${verb}`;
  return text[0].toUpperCase() + text.slice(1);
}

/** What a host does with keys that are destroyed here. */
export const inMemory =
  "Hosts keep keys in memory while they run: a machine that is switched on goes on until it restarts, and then cannot start again.";
