import { Module, type DynamicModule } from '@nestjs/common';
import { JobReactorModule } from 'nestjs-job-reactor';
import { ReportJobs } from './report-jobs.js';
import { ReportsController } from './reports.controller.js';

@Module({})
export class AppModule {
  /** `database` is the file in which the node keeps its jobs. */
  static with(database: string): DynamicModule {
    return {
      module: AppModule,
      imports: [
        JobReactorModule.forRoot({
          distributor: { name: 'http-app', port: 0 },
          node: { name: 'reports', storage: { type: 'sqlite', database } },
          jobs: { retention: { removeSucceeded: false, removeCancelled: false } }, // so that GET can still show them
        }),
      ],
      controllers: [ReportsController],
      providers: [ReportJobs],
    };
  }
}
