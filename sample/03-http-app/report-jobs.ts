import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Job, JobContext, type ArgsOf } from 'nestjs-job-reactor';
import { MakeReport, type Report } from './jobs.js';

const CHUNK = 100;

/** The worker's side: it would be the same in a process of its own. */
@Injectable()
export class ReportJobs {
  @Job(MakeReport)
  async make(
    @Payload() { title, rows }: ArgsOf<typeof MakeReport>,
    @Ctx() ctx: JobContext<typeof MakeReport>,
  ): Promise<Report> {
    let sum = 0;
    for (let row = 1; row <= rows; row++) {
      sum += row;
      if (row % CHUNK !== 0) continue;
      ctx.progress({ done: row, of: rows });
      await pause(20, undefined, { signal: ctx.signal }); // as if rows were read; a cancel ends it here
    }
    return { title, rows, sum };
  }
}
