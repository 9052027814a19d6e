import { Controller, Module } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { Job, type ArgsOf } from 'nestjs-job-reactor';
import { indexFile, type Entry } from './indexing.js';
import { IndexFile } from './jobs.js';

@Controller()
class Indexing {
  @Job(IndexFile)
  index(@Payload() { file }: ArgsOf<typeof IndexFile>): Promise<Entry> {
    return indexFile(file);
  }
}

/** The part of a node that its worker threads have as well; the rest of it starts a node, which a thread must not. */
@Module({ controllers: [Indexing] })
export class IndexModule {}
