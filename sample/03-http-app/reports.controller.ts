import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  NotFoundException,
  Param,
  ParseUUIDPipe,
  Post,
  Sse,
  UseInterceptors,
  type MessageEvent,
} from '@nestjs/common';
import { JobReactorClient, type CancelAnswer, type InputOf, type JobHandle, type JobStatus } from 'nestjs-job-reactor';
import { concat, defer, map, of, shareReplay, type Observable } from 'rxjs';
import { MakeReport } from './jobs.js';
import { RefusedJobsInterceptor } from './refused-jobs.interceptor.js';

interface ReportState {
  id: string;
  status: JobStatus;
  result?: unknown;
  error?: string;
}

@Controller('reports')
@UseInterceptors(RefusedJobsInterceptor)
export class ReportsController {
  /** Of jobs this process has enqueued and that have not ended; a new listener gets the latest progress at once. */
  readonly #streams = new Map<string, Observable<MessageEvent>>();

  constructor(private readonly jobs: JobReactorClient) {}

  @Post()
  @HttpCode(202)
  async create(@Body() args: InputOf<typeof MakeReport>): Promise<{ id: string }> {
    const job = await this.jobs.enqueue(MakeReport, args);
    this.#follow(job);
    return { id: job.id };
  }

  @Get(':id')
  async show(@Param('id', ParseUUIDPipe) id: string): Promise<ReportState> {
    const job = await this.jobs.find(id);
    if (!job) throw new NotFoundException(`There is no report ${id}.`);
    const { status, result, lastError } = job;
    return {
      id,
      status,
      ...(result === undefined ? {} : { result }),
      ...(lastError === null ? {} : { error: lastError.message }),
    };
  }

  /** Server-sent events: `progress` as the job tells it, then one `end` with the final state. */
  @Sse(':id/progress')
  async progress(@Param('id', ParseUUIDPipe) id: string): Promise<Observable<MessageEvent>> {
    const stream = this.#streams.get(id);
    if (stream) return stream;
    return of({ type: 'end', data: await this.show(id) }); // it has ended, or an earlier process enqueued it
  }

  @Delete(':id')
  async cancel(@Param('id', ParseUUIDPipe) id: string): Promise<{ answer: CancelAnswer }> {
    return { answer: await this.jobs.cancel(id, 'cancelled over HTTP') };
  }

  #follow(job: JobHandle<typeof MakeReport>): void {
    const stream = concat(
      job.progress$.pipe(map((data) => ({ type: 'progress', data: data as object }))),
      defer(() => this.show(job.id)).pipe(map((data) => ({ type: 'end', data }))),
    ).pipe(shareReplay(1));
    const forget = (): void => void this.#streams.delete(job.id);
    this.#streams.set(job.id, stream);
    stream.subscribe({ complete: forget, error: forget });
  }
}
