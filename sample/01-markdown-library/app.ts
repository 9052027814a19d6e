import { join } from 'node:path';
import { Injectable, Module, type DynamicModule } from '@nestjs/common';
import { JobReactorModule, OnErrorFeedback, OnSuccessFeedback, type Feedback } from 'nestjs-job-reactor';
import { Subject } from 'rxjs';
import { Catalogue, type Progress } from './catalogue.js';
import { IndexFile, ReportProgress, ScanFolder } from './jobs.js';

/** Hears how the jobs ended and writes the catalogue. */
@Injectable()
export class Librarian {
  readonly indexed = new Subject<void>();
  readonly progress = new Subject<Progress>();

  constructor(private readonly catalogue: Catalogue) {}

  @OnSuccessFeedback(ScanFolder)
  scanned(feedback: Feedback<typeof ScanFolder>): void {
    if (feedback.status === 'succeeded') this.catalogue.addScan(feedback.job.id, feedback.result);
  }

  @OnSuccessFeedback(IndexFile)
  @OnErrorFeedback(IndexFile)
  ended({ job, args, ...end }: Feedback<typeof IndexFile>): void {
    this.catalogue.addFile({
      job: job.id,
      file: args.file,
      node: job.node,
      attempts: job.attempt,
      crashed: job.lastError?.code === 'JOB_INTERRUPTED',
      outcome: end.status === 'succeeded' ? end.result : { error: end.error.message },
    });
    this.indexed.next();
  }

  @OnSuccessFeedback(ReportProgress)
  reported(feedback: Feedback<typeof ReportProgress>): void {
    if (feedback.status === 'succeeded') this.progress.next(feedback.result);
  }
}

@Module({})
export class AppModule {
  /** `work` is the folder for its two databases: the outbox and the catalogue. */
  static in(work: string): DynamicModule {
    const outbox = { type: 'sqlite', database: join(work, 'outbox.sqlite') } as const;
    return {
      module: AppModule,
      imports: [JobReactorModule.forRoot({ distributor: { name: 'library', port: 0, outbox } })],
      providers: [Librarian, { provide: Catalogue, useValue: new Catalogue(join(work, 'catalogue.sqlite')) }],
    };
  }
}
