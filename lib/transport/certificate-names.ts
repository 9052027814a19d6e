import type { PeerCertificate } from 'node:tls';

/** Before the name of a node, percent-encoded, in a certificate's alternative names of type URI. */
const NODE_URI = 'job-reactor:node:';

/** The names of nodes that a certificate speaks for. */
export interface CertificateNames {
  /** As they are. */
  readonly exact: readonly string[];
  /** Host names: upper and lower case are the same. */
  readonly hosts: readonly string[];
}

/** What a certificate has to have among its alternative names of type URI to be that of the node with this name. */
export function nodeUri(name: string): string {
  return NODE_URI + encodeURIComponent(name);
}

/**
 * Its alternative names: URIs as `nodeUri` makes them, and DNS names. The common name counts only where there is neither,
 * as it does for hosts.
 */
export function namesOf({ subject, subjectaltname }: PeerCertificate): CertificateNames {
  const exact: string[] = [];
  const hosts: string[] = [];
  let common = [subject.CN].flat();
  // Node writes a value that holds a comma or a quote as a JSON text, so that it can't be taken for two.
  for (const [, type, value = ''] of (subjectaltname ?? '').matchAll(
    /(?:^|, )(\w+(?: \w+)?):("(?:[^"\\]|\\.)*"|[^,]*)/g,
  )) {
    const text = value.startsWith('"') ? (JSON.parse(value) as string) : value;
    if (type === 'DNS') hosts.push(text);
    else if (type === 'URI') exact.push(...decoded(text));
    else continue;
    common = [];
  }
  return { exact: [...exact, ...common.filter((name) => typeof name === 'string')], hosts };
}

export function carries({ exact, hosts }: CertificateNames, name: string): boolean {
  const lower = name.toLowerCase();
  return exact.includes(name) || hosts.some((host) => host.toLowerCase() === lower);
}

function decoded(uri: string): string[] {
  if (!uri.startsWith(NODE_URI)) return [];
  try {
    return [decodeURIComponent(uri.slice(NODE_URI.length))];
  } catch {
    return [];
  }
}
