import type { DynamicModule } from '@nestjs/common';
import { PRODUCTION, type Environment } from '../../lib/job-reactor.environment.js';
import { ENVIRONMENT } from '../../lib/job-reactor.tokens.js';

class SmallWindowModule {}

/** In `imports` beside `forRoot`: its distributor holds about so many of the jobs that wait whole. */
export function smallWindow(window: number): DynamicModule {
  const environment: Environment = { ...PRODUCTION, window };
  return {
    module: SmallWindowModule,
    global: true,
    providers: [{ provide: ENVIRONMENT, useValue: environment }],
    exports: [ENVIRONMENT],
  };
}
