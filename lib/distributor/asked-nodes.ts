import type { ConnectedNode } from './connected-node.js';
import type { NodeRegistry } from './node-registry.js';

/** Names of nodes a question is about; null: none of them, absent: all. */
interface About {
  node?: readonly string[] | null;
}

/** Storages remembered whose node is away. */
const MAX_AWAY = 1_000;

/** Which nodes a question goes to, and of which nothing is heard. */
export class AskedNodes {
  readonly #registry: NodeRegistry;
  /** Names of the nodes with a database that were here and are not, by storage. */
  readonly #away = new Map<string, string>();

  constructor(registry: NodeRegistry) {
    this.#registry = registry;
  }

  joined(node: ConnectedNode): void {
    this.#away.delete(node.storage);
  }

  lost(node: ConnectedNode): void {
    if (!node.durable) return;
    this.#away.set(node.storage, node.name);
    if (this.#away.size <= MAX_AWAY) return;
    const [oldest] = this.#away.keys();
    if (oldest !== undefined) this.#away.delete(oldest);
  }

  about({ node }: About): ConnectedNode[] {
    if (node === null) return [];
    return [...this.#registry.nodes()].filter(({ name }) => node === undefined || node.includes(name));
  }

  /** Who was asked and silent, who is away, and who was asked for by name and is not there. */
  missing({ node }: About, silent: readonly ConnectedNode[]): string[] {
    if (node === null) return [];
    const names = [...silent.map(({ name }) => name), ...this.#away.values()];
    if (node === undefined) return [...new Set(names)].sort();
    const there = new Set([...this.#registry.nodes()].map(({ name }) => name));
    return node.filter((name) => names.includes(name) || !there.has(name)).sort();
  }
}
