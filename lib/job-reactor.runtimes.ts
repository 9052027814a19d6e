import type { ModulesContainer } from '@nestjs/core';
import { JobReactorRuntime } from './job-reactor.runtime.js';
import { ThreadRuntime } from './job-reactor.thread-runtime.js';
import { isRuntimeToken } from './job-reactor.tokens.js';

export type Runtime = JobReactorRuntime | ThreadRuntime;

/** Of all `forRoot` in the application. */
export function runtimesIn(modules: ModulesContainer): Runtime[] {
  const found = new Set<Runtime>();
  for (const module of modules.values()) {
    for (const [token, { instance }] of module.providers) {
      if (!isRuntimeToken(token)) continue;
      if (instance instanceof JobReactorRuntime || instance instanceof ThreadRuntime) found.add(instance);
    }
  }
  return [...found];
}
