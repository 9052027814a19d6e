import { ContextUtils } from '@nestjs/core/internal';
import { PARAM_ARGS_METADATA } from '@nestjs/microservices/constants.js';
import { RpcParamtype } from '@nestjs/microservices/enums/rpc-paramtype.enum.js';
import { JobReactorError } from '../job-reactor.error.js';
import { JobContext } from './job-context.js';
import type { Instance, MethodHost } from './method-host.js';

/** Parameters without a decorator: the args first, the context second. */
export const UNDECORATED = {
  [`${RpcParamtype.PAYLOAD}:0`]: { index: 0, data: undefined, pipes: [] },
  [`${RpcParamtype.CONTEXT}:1`]: { index: 1, data: undefined, pipes: [] },
};

/**
 * Without `@Ctx()` the parameter would get the args, or nothing; better to say so at start.
 * @throws {JobReactorError} INVALID_OPTIONS
 */
export function refuseBareContext(host: MethodHost, method: string): void {
  const { types, filled, isDecorated } = parametersOf(host, method);
  const bare = types.findIndex((type, i) => type === JobContext && (!filled.has(i) || (i === 0 && !isDecorated)));
  if (bare < 0) return;
  const where = `${host.className}.${method}`;
  throw new JobReactorError('INVALID_OPTIONS', `${where}: write @Ctx() before parameter ${bare + 1}, the JobContext.`);
}

/** Parameters that nothing fills. Not refused: a method may have more for those who call it directly. */
export function emptyParameters(host: MethodHost, method: string): string[] {
  const { types, count, filled, isDecorated } = parametersOf(host, method);
  const empty = Array.from({ length: count }, (_, i) => i).filter((i) => !filled.has(i) && types[i] !== JobContext);
  const why = isDecorated
    ? 'once one parameter has a decorator each needs its own'
    : 'only the args and the context come';
  return empty.map(
    (i) =>
      `${host.className}.${method}: parameter ${i + 1} will always be undefined, since ${why}. Write @Payload() or @Ctx() before it.`,
  );
}

function parametersOf(host: MethodHost, method: string) {
  const instance = host.wrapper.instance as Instance;
  const utils = new ContextUtils();
  const types: unknown[] = utils.reflectCallbackParamtypes(instance, method) ?? [];
  const decorated: Record<string, { index: number }> | undefined =
    utils.reflectCallbackMetadata(instance, method, PARAM_ARGS_METADATA) ?? undefined;
  const filled = new Set(Object.values(decorated ?? UNDECORATED).map(({ index }) => index));
  // Those with a default value do not count: it is what they are meant to be.
  const count = instance[method]?.length ?? 0;
  return { types, count, filled, isDecorated: decorated !== undefined };
}
