import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { Job } from '../../lib/index.js';
import { where } from './thread-jobs.js';

/** The job that threads of the tests have too, alone. */
@Injectable()
export class JustPlain {
  @Job('plain')
  plain(@Payload('n') n: number): unknown {
    return { plain: where(), n };
  }
}
