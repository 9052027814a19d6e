import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

/** The IP addresses a host name stands for. Rejects when it can't be looked up. */
export type Resolve = (host: string) => Promise<string[]>;

/** As the operating system does it: /etc/hosts, search domains and all. */
export const systemResolve: Resolve = async (host) => {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
};

/** 4 or 6 for an IP address, 0 for a host name. */
export function familyOf(host: string): number {
  return isIP(host);
}
