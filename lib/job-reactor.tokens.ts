/** Injection tokens. A `forRoot` with a `name` has tokens of its own; one without has the classes and `DEFAULT`. */
export const DEFAULT = 'default';

/** What the roles stand on where it is not what production has: see the test kit. */
export const ENVIRONMENT = 'JobReactorEnvironment';

export const clientToken = (name: string): string => `JobReactorClient:${name}`;
export const distributorToken = (name: string): string => `JobReactorDistributor:${name}`;
export const runtimeToken = (name: string): string => `JobReactorRuntime:${name}`;
export const isRuntimeToken = (token: unknown): boolean =>
  typeof token === 'string' && token.startsWith(runtimeToken(''));
export const optionsToken = (name: string): string => `JobReactorOptions:${name}`;
