// The line that tells, while somebody connects a client, what the server sees of it.
import { html, useEffect, useRef, useState } from "../view.js";
import { at, get } from "../api.js";
import { href } from "../route.js";
import { Button, Id, isThere, ProblemBox, Time } from "../ui.js";
import { Register } from "./adapter.js";
import { useSession } from "../session.js";

// A failure of somebody else an hour ago is not what is being waited for.
const RECENT = 15 * 60 * 1000;
const rightNow = (one) => Date.parse(one.last_seen) > Date.now() - RECENT;
const mine = ["unknown", "no_rule", "no_common_name", "ambiguous"];

/** Watches handshakes until a client of the adapter has made its first key, and goes on watching. */
export function Live({ adapter, name }) {
  const { may } = useSession();
  const [found, setFound] = useState({});
  const [problem, setProblem] = useState(null);
  const [registering, setRegistering] = useState(null);
  const [registered, setRegistered] = useState([]);
  const since = useRef(undefined);
  const made = useRef(false);
  useEffect(() => {
    const stop = new AbortController();
    let timer;
    const look = async () => {
      try {
        if (isThere()) {
          // A key that is made does not make the handshake a new one: until there is one, everything is asked for again.
          const news = await get(at("/v1/handshakes", { since: made.current ? since.current : undefined, limit: 50 }), stop.signal);
          // A restarted server counts anew.
          since.current = since.current !== undefined && news.sequence < since.current ? undefined : news.sequence;
          setFound((old) => {
            const all = { ...old };
            for (const one of news.items) all[`${one.outcome}/${one.reason}/${one.certificate?.fingerprint}/${one.address}`] = one;
            return all;
          });
          setProblem(null);
        }
      } catch (problem) {
        if (!stop.signal.aborted) setProblem(problem);
      }
      if (!stop.signal.aborted) timer = setTimeout(look, 1500);
    };
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, []);
  const all = Object.values(found).sort((a, b) => b.sequence - a.sequence);
  const accepted = all.filter((one) => one.outcome === "accepted" && one.adapter === adapter);
  const best = accepted.find((one) => one.objects) || accepted[0];
  const since_then = (one) => all.some((other) => other.outcome === "accepted" && other.sequence > one.sequence && other.certificate?.fingerprint === one.certificate?.fingerprint);
  const refused = all.filter((one) => one.outcome === "refused" && rightNow(one) && (!one.adapter || one.adapter === adapter) && !(one.certificate && since_then(one))
    // Somebody that only looks whether the port is open is not worth a line once anybody connected.
    && !(best && (!one.certificate || one.reason === "closed"))).slice(0, 4);
  made.current = Boolean(best?.objects);
  return html`<div aria-live="polite" aria-atomic="false" class="lives">
    <${ProblemBox} problem=${problem} />
    ${best ? html`<div class="live good"><strong>Seen from <code>${best.address}</code> with certificate <${Id} value=${best.certificate.fingerprint} what="fingerprint" length="16" /></strong>${best.objects
        ? html`<strong>, first key created</strong><p>Key <a href=${href(`/keys/${best.objects.first.id}`)}><code>${best.objects.first.id}</code></a>, made <${Time} at=${best.objects.first.at} exact />. <strong>The connection works.</strong></p>`
        : html`<p><span class="dot"></span>Connected <${Time} at=${best.last_seen} ago />, TLS ${best.tls_version}. Waiting for its first key: encrypt something, or make the client test the connection.</p>`}
        <p class="quiet"><bdi>${best.certificate.subject}</bdi></p></div>`
      : html`<div class="live wait"><strong><span class="dot"></span>Waiting for the first handshake</strong><p class="quiet">As soon as a client of <bdi>${name}</bdi> connects, or tries to, it is told here.</p></div>`}
    ${refused.map((one) => html`<div class="live bad" key=${one.sequence}>
      <strong>Refused from <code>${one.address}</code></strong> <span class="quiet"><${Time} at=${one.last_seen} ago />${one.times > 1 && `, ${one.times} times`}</span>
      <p>${one.message} ${registered.includes(one.certificate?.fingerprint) ? html`<strong>It is registered now: let the client try again.</strong>` : one.remedy}</p>
      ${one.certificate && html`<p>Certificate <${Id} value=${one.certificate.fingerprint} what="fingerprint" length="16" />${one.certificate.subject && html` <bdi>${one.certificate.subject}</bdi>`}${one.certificate.thumbprint_sha1 && html`<br /><span class="quiet">SHA-1 <code>${one.certificate.thumbprint_sha1}</code></span>`}</p>`}
      ${one.certificate?.pem && mine.includes(one.reason) && may("kmip-management.create", adapter) && !registered.includes(one.certificate.fingerprint) && html`<${Button} onClick=${() => setRegistering(one)}>Register this certificate with ${name}<//>`}</div>`)}
    ${registering && html`<${Register} path=${`/v1/adapters/${adapter}`} pem=${registering.certificate.pem} close=${() => setRegistering(null)}
      done=${() => { setRegistered([...registered, registering.certificate.fingerprint]); setRegistering(null); }} />`}</div>`;
}
