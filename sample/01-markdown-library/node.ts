import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { CancelJob, Job, JobContext, JobReactorClient, JobReactorModule, type ArgsOf } from 'nestjs-job-reactor';
import { v5 as uuidv5 } from 'uuid';
import { Catalogue, type Progress } from './catalogue.js';
import { IndexModule } from './index.module.js';
import { markdownFiles } from './indexing.js';
import { IndexFile, ReportProgress, ScanFolder } from './jobs.js';

/** A worker node: `node node.js <name> <port of the application> <database>`. */
const [name = '', port = '', database = ''] = process.argv.slice(2);
const BATCH = 200;

@Controller()
class Library {
  constructor(private readonly jobs: JobReactorClient) {}

  /** Ids made of the scan's id and the file: a scan that is killed and runs again enqueues no file twice. */
  @Job(ScanFolder)
  async scan(@Payload('folder') folder: string, @Ctx() ctx: JobContext<typeof ScanFolder>): Promise<number> {
    const files: string[] = [];
    for await (const file of markdownFiles(folder)) files.push(file);
    for (let from = 0; from < files.length; from += BATCH) {
      const batch = files.slice(from, from + BATCH);
      await this.jobs.enqueueMany(
        batch.map((file) => ({ job: IndexFile, args: { file }, options: { id: uuidv5(file, ctx.job.id) } })),
      );
    }
    return files.length;
  }

  @Job(ReportProgress)
  report(@Payload() { catalogue }: ArgsOf<typeof ReportProgress>): Progress {
    const opened = new Catalogue(catalogue);
    const progress = opened.progress();
    opened.close();
    if (progress.total !== null && progress.done >= progress.total) throw new CancelJob('all files are indexed');
    return progress;
  }
}

@Module({
  imports: [
    IndexModule,
    JobReactorModule.forRoot({
      node: {
        name,
        distributors: [{ host: '127.0.0.1', port: Number(port) }],
        storage: { type: 'sqlite', database },
        concurrency: 8,
        threads: { module: new URL('./index.module.js', import.meta.url), export: 'IndexModule' },
        prefetch: 40, // the jobs are short: enough in store for a node to go on while the application writes
      },
    }),
  ],
  controllers: [Library],
})
class NodeModule {}

const node = await NestFactory.createMicroservice(NodeModule, {
  ...JobReactorModule.transport(),
  logger: ['error'], // a node is killed on purpose here, so nobody needs the warnings about it
});
node.enableShutdownHooks();
process.once('disconnect', () => process.exit(1)); // the runner is gone
await node.listen();
